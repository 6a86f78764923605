import { h, icon } from '../dom.js';
import { catalogue } from '../api.js';
import { named, store, t } from '../i18n.js';
import { inr } from '../format.js';
import { CARD, cards, fill, skeletons } from '../ui.js';

const HOME = `query Home {
  shop { name paisePerCoin coinsMaxPercent freeShippingAbove }
  categories { id slug name nameHi: name(lang: HI) parentId }
  best: products(first: 8, sort: RATING) { nodes { ${CARD} } }
  fresh: products(first: 8, sort: NEWEST) { nodes { ${CARD} } }
}`;

const bulb = (i) => h('i', { style: { '--i': i } });

export default async function home({ view, signal, title }) {
  title('');
  const place = h('div');
  view.append(
    h('section.hero', { 'aria-labelledby': 'hello' },
      h('div.lights', { 'aria-hidden': 'true' }, Array.from({ length: 14 }, (_, i) => bulb(i))),
      h('h1', { id: 'hello' }, t('hello')),
      h('p', t('helloText')),
      h('a.btn.gold', { href: '#/play' }, icon('play'), t('playNow'))),
    place);
  await fill(place, h('div', h('div.chips.ghost', h('span.bar'), h('span.bar')), skeletons(4)), () => catalogue(HOME, {}, signal), ({ shop, categories, best, fresh }) => {
    store.set('mela.shop', shop.name);
    const roots = categories.filter((c) => !c.parentId);
    // An importer may hang everything under one root; then its children are what people look for.
    const top = roots.length === 1 ? categories.filter((c) => c.parentId === roots[0].id) : roots;
    const shown = top.length ? top : roots;
    return [
      h('nav', { 'aria-label': t('stalls') }, h('h2', t('stalls')),
        h('ul.chips', shown.map((c) => {
          const { text, lang } = named(c);
          return h('li', h('a.chip', { href: `#/c/${encodeURIComponent(c.slug)}`, lang }, text));
        }))),
      h('section', { 'aria-labelledby': 'best' }, h('h2', { id: 'best' }, t('best')), cards(best.nodes, 4)),
      h('p.promise', icon('coin', 20), t('coinsPay', { x: inr(shop.paisePerCoin), n: shop.coinsMaxPercent })),
      h('section', { 'aria-labelledby': 'fresh' }, h('h2', { id: 'fresh' }, t('fresh')), cards(fresh.nodes)),
      shop.freeShippingAbove > 0 && h('p.promise', icon('truck', 20), t('freeAbove', { x: inr(shop.freeShippingAbove) })),
      h('p.more', h('a.btn.quiet.wide', { href: '#/search' }, t('all'))),
    ];
  }, signal);
}
