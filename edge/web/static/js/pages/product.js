import { h, icon, toast } from '../dom.js';
import { catalogue } from '../api.js';
import { add } from '../cart.js';
import { lang, named, t } from '../i18n.js';
import { day, when } from '../format.js';
import { CARD, action, cards, empty, explain, field, fill, lines, more, picture, price, stars } from '../ui.js';

const REVIEWS = 'pageInfo { hasNextPage endCursor } nodes { id stars title body reviewer createdAt }';
const PRODUCT = `query Product($slug: String!, $lang: Lang!) { product(slug: $slug) {
  sku ${CARD.replace('media {', 'media { id full { url width height }')} description(lang: $lang)
  categories { slug name nameHi: name(lang: HI) parentId }
  attributes { code label values } options { code label values }
  variants { id sku options { code value } price mrp available media { id } }
  reviews(first: 3) { ${REVIEWS} } related(first: 6) { ${CARD} } } }`;
const MORE_REVIEWS = `query Reviews($slug: String!, $after: String) { product(slug: $slug) { reviews(first: 10, after: $after) { ${REVIEWS} } } }`;

function gallery(product) {
  const strip = h('div.strip', { tabindex: product.media.length > 1 ? 0 : null, role: 'group', 'aria-label': t('pictures') },
    product.media.map((m, i) => h('div.slide', { 'data-media': m.id }, picture(m, '(max-width: 900px) 100vw, 560px', i === 0))));
  if (!product.media.length) strip.append(h('div.slide', picture(null)));
  const dots = h('div.dots', { 'aria-hidden': 'true' }, product.media.length > 1 && product.media.map((_, i) => h(i ? 'i' : 'i.on')));
  strip.addEventListener('scroll', () => {
    const at = Math.round(strip.scrollLeft / strip.clientWidth);
    [...dots.children].forEach((d, i) => d.classList.toggle('on', i === at));
  }, { passive: true });
  const go = (mediaId) => {
    const slide = [...strip.children].find((s) => s.dataset.media === mediaId);
    if (slide) strip.scrollTo({ left: slide.offsetLeft - strip.offsetLeft });
  };
  return { box: h('div.gallery', strip, dots), go };
}

/** Plain text: paragraphs, and lines with a bullet as a list. */
function prose(text) {
  const out = [];
  let items = null;
  for (const line of text.split('\n').map((l) => l.trim()).filter(Boolean)) {
    if (line.startsWith('•')) {
      if (!items) out.push((items = h('ul')));
      items.append(h('li', line.replace(/^•\s*/, '')));
    } else {
      items = null;
      out.push(h('p', line));
    }
  }
  return out;
}

function review({ stars: n, title, body, reviewer, createdAt }) {
  return h('li.review', h('p.rate', h('span', { 'aria-hidden': 'true' }, '★'.repeat(n) + '☆'.repeat(5 - n)), h('span.sr', t('nStars', { n }))),
    h('h3', title), h('p', body), h('p.muted', `${reviewer} · ${when(createdAt)}`));
}

function reviews(product) {
  if (!product.rating.count) return null;
  const list = h('ul.plain', product.reviews.nodes.map(review));
  let { hasNextPage, endCursor } = product.reviews.pageInfo;
  const next = more(async () => {
    const data = await catalogue(MORE_REVIEWS, { slug: product.slug, after: endCursor });
    const page = data.product.reviews;
    list.append(...page.nodes.map(review));
    ({ hasNextPage, endCursor } = page.pageInfo);
    if (!hasNextPage) next.remove();
  });
  return h('section', { 'aria-labelledby': 'reviews' }, h('h2', { id: 'reviews' }, t('reviews'), ' ', stars(product.rating)), list, hasNextPage && next);
}

function delivery() {
  const out = h('p.hint', { role: 'status' });
  const pin = field(t('pincode'), { name: 'pin', inputmode: 'numeric', maxlength: 6, autocomplete: 'postal-code', pattern: '[1-9][0-9]{5}' });
  const check = async () => {
    if (!/^[1-9]\d{5}$/.test(pin.input.value)) return pin.say(t('e.INVALID_PINCODE'));
    try {
      const { pincode: p } = await catalogue('query Pin($c: String!) { pincode(code: $c) { state district deliverable cashOnDelivery days } }', { c: pin.input.value });
      const by = new Date(Date.now() + p.days * 86400000);
      out.textContent = !p.deliverable ? t('e.NOT_DELIVERABLE')
        : `${t('deliveredBy', { d: day(by), p: `${p.district}, ${p.state}` })} ${p.cashOnDelivery ? t('codYes') : t('codNo')}`;
    } catch (error) {
      out.textContent = '';
      pin.say(explain(error));
    }
    return undefined;
  };
  const button = h('button.btn.quiet', { type: 'submit' }, t('check'));
  return h('form.pin', { novalidate: true, onsubmit: (e) => { e.preventDefault(); check(); } }, h('h2', icon('truck', 20), t('deliveryTo')), h('div.pair', pin, button), out);
}

function buyer(product, show) {
  const choice = new Map(product.options.filter((o) => o.values.length === 1).map((o) => [o.code, o.values[0]]));
  const fits = (variant, wanted) => [...wanted].every(([code, value]) => variant.options.some((o) => o.code === code && o.value === value));
  const variants = () => product.variants.filter((v) => fits(v, choice));
  const chosen = () => (choice.size === product.options.length ? variants()[0] : null);

  const cost = h('div.cost', { 'aria-live': 'polite' });
  const stock = h('p.stock', { 'aria-live': 'polite' });
  const wrong = h('p.hint.wrong', { role: 'alert' });
  const quantity = h('select', { id: 'qty' }, Array.from({ length: 10 }, (_, i) => h('option', { value: i + 1 }, i + 1)));

  const sets = product.options.map((option) => h('fieldset.choice', { 'data-option': option.code },
    h('legend', option.label, h('span.picked')),
    option.values.map((value, i) => h('label.pick', h('input', {
      type: 'radio', name: `o-${option.code}`, value, id: `o-${option.code}-${i}`, checked: choice.get(option.code) === value,
      onchange: () => { choice.set(option.code, value); update(); },
    }), h('span', value)))));

  function update() {
    wrong.textContent = '';
    const list = variants();
    const variant = chosen();
    const of = list.length ? list : product.variants;
    const prices = of.map((v) => v.price);
    cost.replaceChildren(price(Math.min(...prices), Math.max(...prices), Math.max(...of.map((v) => v.mrp))), h('p.muted', t('inclTax')));
    stock.classList.toggle('wrong', variant?.available === 0);
    stock.textContent = !variant ? '' : variant.available === 0 ? t('soldOut') : variant.available <= 5 ? t('left', { n: variant.available }) : t('inStock');
    if (variant) {
      [...quantity.options].forEach((o) => { o.disabled = Number(o.value) > Math.max(1, variant.available); });
      if (Number(quantity.value) > variant.available) quantity.value = '1';
    }
    sets.forEach((set, i) => {
      const { code } = product.options[i];
      set.querySelector('.picked').textContent = choice.has(code) ? `: ${choice.get(code)}` : '';
      set.querySelectorAll('input').forEach((input) => {
        const wanted = new Map(choice).set(code, input.value);
        const some = product.variants.some((v) => fits(v, wanted) && v.available > 0);
        input.parentElement.classList.toggle('none', !some);
        if (some) input.removeAttribute('aria-description');
        else input.setAttribute('aria-description', t('soldOut'));
      });
    });
    const media = (variant ?? (choice.size ? list[0] : null))?.media;
    if (media) show(media.id);
  }

  const put = action([icon('cart', 20), t('addToCart')], async () => {
    const missing = product.options.find((o) => !choice.has(o.code));
    if (missing) {
      wrong.textContent = t('chooseFirst', { x: missing.label });
      const set = sets[product.options.indexOf(missing)];
      set.querySelector('input').focus();
      set.scrollIntoView({ block: 'center' });
      return;
    }
    const variant = chosen();
    if (!variant || variant.available === 0) {
      wrong.textContent = t('soldOutText');
      return;
    }
    try {
      await add(variant.id, Number(quantity.value));
    } catch (error) {
      wrong.textContent = explain(error);
      return;
    }
    toast(t('added'));
    go.hidden = false;
  });
  put.id = 'add';
  const go = h('a.btn.quiet', { href: '#/cart', hidden: true }, t('toCart'));
  update();
  return { cost, box: h('div.buy', sets, stock, wrong, h('div.buy-bar', h('div.qty', h('label', { for: 'qty' }, t('quantity')), quantity), put, go)) };
}

export default async function product({ view, id, signal, title }) {
  await fill(view, h('div', h('div.pic.ghost.tall'), lines(5)), () => catalogue(PRODUCT, { slug: id, lang: lang() === 'hi' ? 'HI' : 'EN' }, signal), ({ product: p }) => {
    if (!p) {
      title(t('notFound'));
      return empty(t('notFound'), t('e.PRODUCT_NOT_FOUND'), '#/', t('toShop'));
    }
    const name = named(p);
    title(name.text);
    const pictures = gallery(p);
    const buy = buyer(p, pictures.go);
    const home = p.categories.find((c) => c.parentId) ?? p.categories[0];
    return [
      home && h('nav.crumb', { 'aria-label': t('youAreIn') }, h('a', { href: `#/c/${encodeURIComponent(home.slug)}`, lang: named(home).lang }, '‹ ', named(home).text)),
      h('div.two',
        pictures.box,
        h('div',
          h('h1', { lang: name.lang }, name.text), stars(p.rating), buy.cost, buy.box, delivery(),
          p.description && h('section.prose', { 'aria-labelledby': 'about' }, h('h2', { id: 'about' }, t('about')), prose(p.description)),
          p.attributes.length > 0 && h('section', { 'aria-labelledby': 'facts' }, h('h2', { id: 'facts' }, t('facts')),
            h('dl.facts', p.attributes.map((a) => h('div', h('dt', a.label), h('dd', a.values.join(', ')))), h('div', h('dt', 'SKU'), h('dd', p.sku)))))),
      reviews(p),
      p.related.length > 0 && h('section', { 'aria-labelledby': 'related' }, h('h2', { id: 'related' }, t('related')), cards(p.related)),
    ];
  }, signal);
}
