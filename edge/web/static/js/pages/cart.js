import { announce, h, icon } from '../dom.js';
import { gql, loggedIn, session, catalogue } from '../api.js';
import { load, setCoins, setCoupon, setLines } from '../cart.js';
import { named, t } from '../i18n.js';
import { count, inr } from '../format.js';
import { breakup, empty, explain, field, fill, lines, picture } from '../ui.js';

const PURSE = '{ wallet { available } }';
const RULES = '{ shop { paisePerCoin coinsMaxPercent freeShippingAbove } }';

/** Lets the shopper use coins: a slider that says what it saves. */
function coins(cart, { shop, available }, update) {
  const cap = Math.floor((cart.totals.total * shop.coinsMaxPercent) / 100 / Math.max(1, shop.paisePerCoin));
  const max = Math.max(0, Math.min(available, cap));
  const head = h('h2', { id: 'coins' }, icon('coin', 20), t('coins'));
  if (!loggedIn() && !available) {
    return h('section.box', { 'aria-labelledby': 'coins' }, head, h('p', t('coinsGuest')), h('p.row', h('a', { href: '#/play' }, t('playNow')), h('a', { href: '#/login?next=/cart' }, t('login'))));
  }
  if (!max) return h('section.box', { 'aria-labelledby': 'coins' }, head, h('p', t('noCoins')), h('a', { href: '#/play' }, t('playNow')));
  const out = h('output', { for: 'coin-range' });
  const wrong = h('p.hint.wrong', { role: 'alert' });
  const range = h('input', { type: 'range', id: 'coin-range', name: 'coins', min: 0, max, step: 1, value: Math.min(cart.coins, max), 'aria-describedby': 'coin-hint' });
  const say = () => {
    const n = Number(range.value);
    out.textContent = n ? t('coinsSave', { n: count(n), x: inr(n * shop.paisePerCoin) }) : t('coinsNone');
    range.setAttribute('aria-valuetext', out.textContent);
    range.style.setProperty('--done', `${(n * 100) / max}%`);
  };
  range.value = String(Math.min(cart.coins, max));
  range.addEventListener('input', say);
  range.addEventListener('change', async () => {
    try {
      update(await setCoins(Number(range.value)), 'coin-range');
    } catch (error) {
      wrong.textContent = explain(error);
    }
  });
  say();
  return h('section.box', { 'aria-labelledby': 'coins' }, head, h('label', { for: 'coin-range' }, t('useCoins')), range, out,
    h('p.hint', { id: 'coin-hint' }, t('coinsHint', { n: count(available), p: shop.coinsMaxPercent })), wrong);
}

function coupon(cart, update) {
  const take = async (code) => {
    try {
      update(await setCoupon(code), code ? 'coupon-off' : 'f-coupon');
    } catch (error) {
      if (code) box.say(explain(error));
    }
  };
  if (cart.coupon) {
    return h('p.box.row', h('span', icon('check', 20), ' ', t('couponOn', { x: cart.coupon })), h('button.link', { type: 'button', id: 'coupon-off', onclick: () => take(null) }, t('remove')));
  }
  const box = field(t('coupon'), { name: 'coupon', autocomplete: 'off', autocapitalize: 'characters', maxlength: 40 });
  const open = h('details.box', h('summary', t('haveCoupon')), h('form', { novalidate: true, onsubmit: (e) => { e.preventDefault(); if (box.input.value.trim()) take(box.input.value.trim()); } },
    h('div.pair', box, h('button.btn.quiet', { type: 'submit' }, t('apply')))));
  return open;
}

function line(l, problem, update, place) {
  const product = l.product ?? { name: l.name, media: [], variants: [] };
  const variant = product.variants?.find((v) => v.id === l.variantId);
  const { text, lang } = named(product.name ? product : l);
  const options = variant?.options.map((o) => o.value).join(' · ');
  const max = Math.max(l.quantity, Math.min(10, variant?.available ?? 10));
  const id = `q-${l.variantId}`;
  const set = async (quantity) => {
    place.replaceChildren();
    try {
      update(await setLines([{ variantId: l.variantId, quantity }]), quantity ? id : null);
      announce(quantity ? t('updated') : t('removed', { x: text }));
    } catch (error) {
      place.replaceChildren(h('p.hint.wrong', { role: 'alert' }, explain(error)));
      select.value = String(l.quantity);
    }
  };
  const select = h('select', { id, onchange: () => set(Number(select.value)) }, Array.from({ length: max }, (_, i) => h('option', { value: i + 1 }, i + 1)));
  select.value = String(l.quantity);
  const media = variant?.media ?? product.media?.[0];
  return h('li.line',
    h('a.pic', { href: product.slug ? `#/p/${encodeURIComponent(product.slug)}` : null, tabindex: -1, 'aria-hidden': 'true' }, picture(media && { ...media, alt: '' }, '88px')),
    h('div', h('a.name', { href: product.slug ? `#/p/${encodeURIComponent(product.slug)}` : null, lang }, text),
      options && h('p.muted', options),
      h('p', h('b', inr(l.unitPrice)), l.unitMrp > l.unitPrice && [' ', h('s', h('span.sr', t('mrp'), ' '), inr(l.unitMrp))]),
      problem && h('p.hint.wrong', explain(problem)),
      h('p.row', h('label.sr', { for: id }, t('quantityOf', { x: text })), select, h('button.link', { type: 'button', 'aria-label': t('removeX', { x: text }), onclick: () => set(0) }, t('remove')))));
}

export default async function cart({ view, signal, title }) {
  title(t('cart'));
  view.append(h('h1', t('cart')));
  const place = h('div');
  view.append(place);

  async function everything() {
    const [cart, { shop }, purse] = await Promise.all([load(signal), catalogue(RULES, {}, signal), session() ? gql(PURSE, {}, signal).catch(() => null) : null]);
    return { cart, shop, available: purse?.wallet.available ?? 0 };
  }

  await fill(place, lines(6), everything, (data) => {
    const body = h('div');
    const paint = (cart, focus) => {
      if (!cart?.lines.length) {
        body.replaceChildren(empty(t('cartEmpty'), t('cartEmptyText'), '#/', t('toShop')));
        return;
      }
      const wrong = h('div');
      // What stands in the way and can be mended here; address and payment come later.
      const own = (p) => cart.lines.some((l) => l.variantId === p.variantId);
      const stops = cart.problems.filter((p) => own(p));
      body.replaceChildren(h('div.two.cart-two',
        h('div', h('ul.plain.lines', cart.lines.map((l) => line(l, cart.problems.find((p) => p.variantId === l.variantId), paint, wrong))), wrong, coupon(cart, paint), coins(cart, data, paint)),
        h('section.box.sticky', { 'aria-labelledby': 'sum' }, h('h2', { id: 'sum' }, t('summary')), breakup(cart.totals),
          data.shop.freeShippingAbove > 0 && cart.totals.shipping > 0 && h('p.muted', t('freeAbove', { x: inr(data.shop.freeShippingAbove) })),
          stops.length ? h('p.hint.wrong', { role: 'alert' }, t('fixFirst')) : h('a.btn.wide', { href: '#/checkout', id: 'checkout' }, t('checkout')))));
      if (focus) document.getElementById(focus)?.focus();
    };
    paint(data.cart);
    return body;
  }, signal);
}
