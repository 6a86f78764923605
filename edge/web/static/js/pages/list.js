// A category or a search: the same list with filters. All of its state is in the address.

import { announce, h, icon, show } from '../dom.js';
import { catalogue } from '../api.js';
import { named, t } from '../i18n.js';
import { count, inr } from '../format.js';
import { CARD, cards, card, empty, fill, more, skeletons } from '../ui.js';

const PAGE = 20;
const FEW = 8;
const list = (more) => `query List($first: Int!, $after: String, $q: String, $filter: ProductFilter, $sort: ProductSort!) {
  products(first: $first, after: $after, search: $q, filter: $filter, sort: $sort) {
    totalCount pageInfo { hasNextPage endCursor } nodes { ${CARD} } ${more} } }`;
const LIST = list('facets { field values { value label count } }');
const MORE = list('');
const TREE = 'query Tree { categories { id slug name nameHi: name(lang: HI) parentId } }';
const SORTS = ['RELEVANCE', 'PRICE_ASC', 'PRICE_DESC', 'RATING', 'NEWEST'];
const ORDER = ['category', 'price', 'size', 'color', 'rating'];

/** How many were shown at an address, so that going back shows as many. */
const depth = new Map();

function filterOf(slug, query) {
  const [min, max] = (query.get('price') ?? '').split('-');
  const filter = {
    category: query.get('category') || slug || null,
    priceMin: min ? Number(min) : null,
    priceMax: max ? Number(max) : null,
    sizes: query.getAll('size'),
    colors: query.getAll('color'),
    ratingMin: Number(query.get('rating')) || null,
  };
  return Object.fromEntries(Object.entries(filter).filter(([, v]) => v !== null && v.length !== 0));
}

function label(field, { value, label: text }) {
  if (field === 'rating') return t('andUp', { n: value });
  if (field === 'price') {
    const [min, max] = value.split('-').map(Number);
    // Steps end a paisa before the next one begins.
    const top = Math.ceil(max / 100) * 100;
    if (max) return min ? `${inr(min)} – ${inr(top)}` : t('upTo', { x: inr(top) });
    return t('above', { x: inr(min || 0) });
  }
  return text;
}

export default async function open({ view, id, query, signal, title, page }) {
  const q = query.get('q')?.trim() ?? '';
  const state = new URLSearchParams(query);
  const heading = h('h1', q ? t('resultsFor', { q }) : t('everything'));
  const total = h('p.muted', { role: 'status' });
  const results = h('div');
  const panel = h('div.panel');
  const chosen = h('ul.chips.chosen');
  const sort = h('select', { id: 'sort', onchange: () => change((s) => s.set('sort', sort.value)) },
    SORTS.filter((s) => q || s !== 'RELEVANCE').map((s) => h('option', { value: s }, t(`sort.${s}`))));
  sort.value = state.get('sort') ?? (q ? 'RELEVANCE' : 'RATING');
  const details = h('details.filters', h('summary', icon('filter', 20), t('filter')), panel);
  const wide = matchMedia('(min-width: 900px)');
  details.open = wide.matches;
  view.append(heading, h('div.bar-row', total, h('div.sort', h('label', { for: 'sort' }, t('sort')), sort)), h('div.with-side', details, h('div.side-main', chosen, results)));
  title(q || t('everything'));

  let categories = [];
  const opened = new Set();
  catalogue(TREE, {}, signal).then((data) => {
    if (signal.aborted) return;
    ({ categories } = data);
    const here = categories.find((c) => c.slug === id);
    if (page !== 'c') return;
    const { text, lang } = named(here ?? { name: id });
    heading.replaceChildren(h('span', { lang }, text));
    title(text);
    const children = categories.filter((c) => c.parentId && c.parentId === here?.id);
    const parent = categories.find((c) => c.id === here?.parentId);
    if (parent) heading.before(h('nav.crumb', { 'aria-label': t('youAreIn') }, h('a', { href: `#/c/${encodeURIComponent(parent.slug)}`, lang: named(parent).lang }, '‹ ', named(parent).text)));
    if (children.length) heading.after(h('ul.chips', children.map((c) => h('li', h('a.chip', { href: `#/c/${encodeURIComponent(c.slug)}`, lang: named(c).lang }, named(c).text)))));
  }).catch(() => null);

  const address = () => `#/${page}${id ? `/${encodeURIComponent(id)}` : ''}${state.size ? `?${state}` : ''}`;

  function change(edit) {
    edit(state);
    // Same page, other content: no new entry to walk back through for each tick.
    history.replaceState(history.state, '', address());
    load();
  }

  function toggle(field, value, on, several) {
    change((s) => {
      const rest = s.getAll(field).filter((v) => v !== value);
      s.delete(field);
      if (several) rest.forEach((v) => s.append(field, v));
      if (on) s.append(field, value);
    });
  }

  function facetBox({ field, values }) {
    const several = field === 'size' || field === 'color';
    const on = state.getAll(field);
    // A ticked value stays visible even if nothing has it.
    const missing = on.filter((v) => !values.some((x) => x.value === v)).map((v) => ({ value: v, label: v, count: 0 }));
    const all = [...missing, ...values.filter((v) => v.count > 0 || on.includes(v.value))];
    if (!all.length || (page === 'c' && field === 'category')) return null;
    const name = (value) => {
      const known = field === 'category' && categories.find((c) => c.slug === value.value);
      if (!known) return label(field, value);
      const parent = categories.find((c) => c.id === known.parentId);
      const twin = all.some((v) => v !== value && categories.find((c) => c.slug === v.value)?.name === known.name);
      return twin && parent ? `${named(parent).text} › ${named(known).text}` : named(known).text;
    };
    const ticks = all.map((value) => h('label.tick',
      h('input', { type: 'checkbox', name: field, value: value.value, checked: on.includes(value.value),
        onchange: (event) => toggle(field, value.value, event.target.checked, several) }),
      h('span', name(value), ' ', h('small', count(value.count)))));
    const rest = ticks.slice(FEW);
    const others = rest.length > 0 && h('button.link', { type: 'button', onclick: (event) => {
      opened.add(field);
      event.target.replaceWith(...rest);
      rest[0].querySelector('input').focus();
    } }, t('showAll', { n: ticks.length }));
    const whole = opened.has(field) || rest.some((tick) => tick.querySelector('input').checked);
    return h('fieldset', { 'data-facet': field }, h('legend', t(`facet.${field}`)), whole ? ticks : [ticks.slice(0, FEW), others]);
  }

  function showFacets(facets) {
    const active = document.activeElement?.closest?.('.tick') && { name: document.activeElement.name, value: document.activeElement.value };
    const ordered = ORDER.map((f) => facets.find((x) => x.field === f)).filter(Boolean);
    show(panel, ordered.map(facetBox), h('button.btn.quiet.wide.done', { type: 'button', onclick: () => {
      details.open = false;
      heading.scrollIntoView();
    } }, t('showN', { n: total.textContent })));
    if (active) panel.querySelector(`input[name="${active.name}"][value="${CSS.escape(active.value)}"]`)?.focus();
    const names = new Map(facets.flatMap(({ field, values }) => values.map((v) => [`${field}=${v.value}`, label(field, v)])));
    const ticked = ORDER.flatMap((f) => state.getAll(f).map((v) => [f, v]));
    chosen.replaceChildren(...ticked.map(([f, v]) => {
      const text = names.get(`${f}=${v}`) ?? label(f, { value: v, label: v });
      return h('li', h('button.chip.on', { type: 'button', 'aria-label': t('removeFilter', { x: text }), onclick: () => toggle(f, v, false, f === 'size' || f === 'color') }, text, icon('close', 16)));
    }), ...(ticked.length > 1 ? [h('li', h('button.chip', { type: 'button', onclick: () => change((s) => ORDER.forEach((f) => s.delete(f))) }, t('clear')))] : []));
  }

  let loading = new AbortController();

  function load() {
    loading.abort();
    loading = new AbortController();
    const mine = loading.signal;
    signal.addEventListener('abort', () => loading.abort());
    const first = Math.min(100, depth.get(address()) ?? PAGE);
    const variables = { first, q: q || null, filter: filterOf(id, state), sort: state.get('sort') ?? (q ? 'RELEVANCE' : 'RATING') };
    return fill(results, skeletons(6), () => catalogue(LIST, variables, mine), ({ products }) => {
      total.textContent = t('nProducts', { n: products.totalCount, c: count(products.totalCount) });
      showFacets(products.facets);
      if (!products.totalCount) return empty(t('nothing'), q ? t('nothingFor', { q }) : t('nothingHere'), '#/', t('toShop'));
      const grid = cards(products.nodes, 4);
      let { hasNextPage, endCursor } = products.pageInfo;
      const next = more(async () => {
        const { products: page2 } = await catalogue(MORE, { ...variables, first: PAGE, after: endCursor }, mine);
        const fresh = page2.nodes.map((p) => card(p));
        grid.append(...fresh);
        ({ hasNextPage, endCursor } = page2.pageInfo);
        depth.set(address(), grid.children.length);
        fresh[0]?.querySelector('a').focus({ preventScroll: true });
        announce(t('nMore', { n: fresh.length }));
        if (!hasNextPage) next.remove();
      });
      return [grid, hasNextPage && next];
    }, mine);
  }

  await load();
}
