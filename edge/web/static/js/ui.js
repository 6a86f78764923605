// What several pages show in the same way.

import { h, icon, announce, show } from './dom.js';
import { has, named, t } from './i18n.js';
import { count, inr } from './format.js';

/** An error in plain words: what happened and what to do. */
export function explain(error) {
  const key = `e.${error.code}`;
  if (error.code === 'TOO_MANY_REQUESTS' && error.retryAfterS) return t('e.wait', { s: error.retryAfterS });
  if (has(key)) return t(key);
  if (['NOT_FOUND', 'CONFLICT', 'INVALID', 'EXHAUSTED', 'DENIED', 'UNAVAILABLE'].includes(error.kind)) {
    return error.message.charAt(0).toUpperCase() + error.message.slice(1);
  }
  return t('e.INTERNAL');
}

export function failure(error, retry) {
  return h('div.failure', { role: 'alert' }, h('p', explain(error)), retry && h('button.btn.quiet', { type: 'button', onclick: retry }, t('retry')));
}

/** Fills `place` with what `get` brings; meanwhile `waiting` stands there, and a retry button if it fails. */
export async function fill(place, waiting, get, render, signal) {
  const slow = setTimeout(() => place.replaceChildren(waiting ?? h('p.muted', t('loading'))), 120);
  place.setAttribute('aria-busy', 'true');
  try {
    const data = await get();
    clearTimeout(slow);
    if (signal?.aborted) return;
    show(place, await render(data));
  } catch (error) {
    clearTimeout(slow);
    if (signal?.aborted || error.code === 'ABORTED') return;
    if (!error.code) console.error(error);
    place.replaceChildren(failure(error, () => fill(place, waiting, get, render, signal)));
  } finally {
    place.removeAttribute('aria-busy');
  }
}

/** A button that cannot be pressed twice; errors are shown in `place` or thrown at `onError`. */
export function action(label, work, { place, kind = 'btn', type = 'button' } = {}) {
  const button = h(`button.${kind}`, { type }, label);
  const run = async (event) => {
    event?.preventDefault();
    if (button.getAttribute('aria-disabled') === 'true') return;
    button.setAttribute('aria-disabled', 'true');
    place?.replaceChildren();
    try {
      await work();
    } catch (error) {
      if (!error.code) console.error(error);
      if (place) place.replaceChildren(failure(error));
      else announce(explain(error));
    } finally {
      button.removeAttribute('aria-disabled');
    }
  };
  if (type === 'button') button.addEventListener('click', run);
  return Object.assign(button, { run });
}

/** A picture that holds its place before it is there. */
export function picture(media, sizes, eager = false) {
  const { thumbnail, card, full } = media ?? {};
  const best = card ?? full ?? thumbnail;
  if (!best) return h('span.nopic', { 'aria-hidden': 'true' }, icon('home', 40));
  const set = [thumbnail, card, full].filter(Boolean).map((i) => `${i.url} ${i.width}w`);
  return h('img', {
    sizes, srcset: set.length > 1 ? set.join(', ') : null, src: best.url,
    width: best.width, height: best.height, alt: media.alt ?? '',
    loading: eager ? null : 'lazy', decoding: 'async', fetchpriority: eager ? 'high' : null,
  });
}

export function stars({ average, count: n }) {
  if (!n) return null;
  return h('span.stars', icon('star', 14), h('span', { 'aria-hidden': 'true' }, `${average} (${count(n)})`), h('span.sr', t('rated', { a: average, n })));
}

/** Price, and MRP with the saving where it is one price. */
export function price(min, max, mrp) {
  if (max > min) return h('p.price', h('small', t('from'), ' '), h('b', inr(min)));
  const off = mrp > min ? Math.floor(((mrp - min) * 100) / mrp) : 0;
  return h('p.price', h('b', inr(min)), off > 0 && [' ', h('s', h('span.sr', t('mrp'), ' '), inr(mrp)), ' ', h('span.off', t('off', { n: off }))]);
}

export const CARD = 'id slug name nameHi priceMin priceMax mrpMax rating { average count } media { alt thumbnail { url width height } card { url width height } }';

export function card(product, eager = false) {
  const { text, lang } = named(product);
  const media = product.media[0] && { ...product.media[0], alt: '' };
  return h('li.card', h('a', { href: `#/p/${encodeURIComponent(product.slug)}` },
    h('span.pic', picture(media, '(max-width: 640px) 46vw, 220px', eager)),
    h('span.name', { lang }, text)),
  price(product.priceMin, product.priceMax, product.mrpMax), stars(product.rating));
}

export const cards = (products, eager = 0) => h('ul.grid', products.map((p, i) => card(p, i < eager)));

export function skeletons(n) {
  return h('ul.grid', { 'aria-hidden': 'true' }, Array.from({ length: n }, () => h('li.card.ghost', h('span.pic'), h('span.bar'), h('span.bar.short'))));
}

export function lines(n) {
  return h('div.ghost', { 'aria-hidden': 'true' }, Array.from({ length: n }, (_, i) => h(i % 3 === 2 ? 'span.bar.short' : 'span.bar')));
}

/** A labelled field; `field.say(text)` shows what is wrong with it. */
export function field(label, props, hint) {
  const id = `f-${props.name}`;
  const input = h('input', { id, ...props });
  const note = h('p.hint', { id: `${id}-note` }, hint);
  input.setAttribute('aria-describedby', note.id);
  const box = h('div.field', h('label', { for: id }, label), input, note);
  const say = (text) => {
    note.textContent = text || hint || '';
    note.classList.toggle('wrong', Boolean(text));
    if (text) input.setAttribute('aria-invalid', 'true');
    else input.removeAttribute('aria-invalid');
  };
  input.addEventListener('input', () => say(''));
  return Object.assign(box, { input, say, note });
}

/** The sum in one figure with everything it is made of. */
export function breakup(totals, { method } = {}) {
  const row = (label, paise, cls) => h(cls ? `div.${cls}` : 'div', h('dt', label), h('dd', paise < 0 ? `−${inr(-paise)}` : inr(paise)));
  return h('dl.sum',
    row(t('items'), totals.subtotal),
    totals.discount > 0 && row(t('discount'), -totals.discount),
    h('div', h('dt', t('delivery')), h('dd', totals.shipping ? inr(totals.shipping) : t('free'))),
    totals.codFee > 0 && row(t('codFee'), totals.codFee),
    row(t('total'), totals.total, 'strong'),
    totals.coinsValue > 0 && row(t('coinsUsed', { n: count(totals.coins) }), -totals.coinsValue),
    row(method === 'CASH_ON_DELIVERY' ? t('toPayCash') : t('toPay'), totals.toPay, 'due'),
    totals.tax !== null && h('p.muted', t('taxIn', { x: inr(totals.tax) })));
}

export function empty(title, text, href, label) {
  return h('div.empty', h('h2', title), h('p', text), href && h('a.btn', { href }, label));
}

/** A button that loads the next page of a list. */
export function more(load) {
  const place = h('div');
  const button = action(t('more'), load, { place, kind: 'btn.quiet.wide' });
  return h('div.more', place, button);
}
