// Starts the shop: frame, routes, focus, scroll. Each page is a module of its own, loaded when it
// is first opened.

import { announce, h, icon, toast } from './dom.js';
import { choose, lang, preferred, speak, store, t } from './i18n.js';
import { session } from './api.js';
import { failure, lines } from './ui.js';
import { count } from './format.js';

const PAGES = {
  '': () => import('./pages/home.js'),
  c: () => import('./pages/list.js'),
  search: () => import('./pages/list.js'),
  p: () => import('./pages/product.js'),
  cart: () => import('./pages/cart.js'),
  checkout: () => import('./pages/checkout.js'),
  orders: () => import('./pages/orders.js'),
  order: () => import('./pages/order.js'),
  play: () => import('./pages/play.js'),
  login: () => import('./pages/login.js'),
  me: () => import('./pages/me.js'),
  inbox: () => import('./pages/inbox.js'),
};

const TABS = [['', 'home'], ['play', 'play'], ['orders', 'orders'], ['inbox', 'inbox'], ['me', 'me']];

const main = document.getElementById('main');
const scrolls = new Map();
let leave = new AbortController();
let entry = null;
let unread = 0;
let settled = true;

/** `#/orders/ord_1?payment=paid` → page, id, query. */
export function parse(hash) {
  const [path, query = ''] = hash.replace(/^#\/?/, '').split('?');
  let parts;
  try {
    parts = path.split('/').map(decodeURIComponent);
  } catch {
    parts = ['?'];
  }
  const [first = '', id = ''] = parts;
  const page = first === 'orders' && id ? 'order' : first;
  return { page, first, id, query: new URLSearchParams(query) };
}

function chrome(first) {
  document.getElementById('skip').textContent = t('skip');
  const brand = document.getElementById('brand');
  brand.setAttribute('aria-label', t('homeLink', { x: shopName() }));
  brand.querySelector('.word').textContent = shopName();
  const n = store.get('mela.cart')?.count ?? 0;
  const other = lang() === 'hi' ? 'en' : 'hi';
  document.getElementById('tools').replaceChildren(
    h('button.tool.word', { type: 'button', lang: other, onclick: () => choose(other).then(show) }, other === 'hi' ? 'हिन्दी' : 'English'));
  document.getElementById('cart').replaceChildren(
    h('a.tool', { href: '#/cart', 'aria-current': first === 'cart' ? 'page' : null }, icon('cart'), n > 0 && h('span.badge', { 'aria-hidden': 'true' }, count(n)), h('span.sr', t('cartLabel', { n }))));
  const tabs = document.getElementById('tabs');
  tabs.setAttribute('aria-label', t('mainNav'));
  tabs.replaceChildren(...TABS.map(([path, name]) => h('a', { href: `#/${path}`, 'aria-current': first === path ? 'page' : null },
    h('span.mark', icon(name), name === 'inbox' && unread > 0 && h('span.badge', { 'aria-hidden': 'true' }, unread > 99 ? '99+' : unread)),
    h('span', t(`tab.${name}`)), name === 'inbox' && unread > 0 && h('span.sr', t('unread', { n: unread })))));
}

function searchBox(query) {
  const form = document.getElementById('search');
  const value = form.querySelector('input')?.value ?? query ?? '';
  const input = h('input', { type: 'search', name: 'q', value, placeholder: t('searchHint'), 'aria-label': t('search'), enterkeyhint: 'search', maxlength: 200 });
  form.replaceChildren(icon('search', 20), input);
  // Completion comes with the first touch of the field.
  input.addEventListener('focus', () => import('./suggest.js').then((m) => m.attach(form, input)), { once: true });
  form.onsubmit = (event) => {
    event.preventDefault();
    const words = input.value.trim();
    input.blur();
    if (words) location.hash = `#/search?${new URLSearchParams({ q: words })}`;
  };
}

/** The merchant's name, known from the second visit on; our own until then. */
function shopName() {
  const name = store.get('mela.shop');
  return name && name !== 'Mela' ? name : t('shop');
}

/** Names the page in the title bar. */
function title(text) {
  document.title = text ? `${text} – ${shopName()}` : shopName();
}

function settle(scroll, signal) {
  let tries = 20;
  const step = () => {
    scrollTo(0, scroll);
    if (Math.abs(scrollY - scroll) > 2 && (tries -= 1) > 0 && !signal.aborted) setTimeout(step, 60);
    else settled = true;
  };
  step();
}

async function show() {
  leave.abort();
  leave = new AbortController();
  const { signal } = leave;
  const { page, first, id, query } = parse(location.hash);
  const known = history.state?.entry;
  if (!known) history.replaceState({ entry: Date.now() }, '');
  // Taken before the new content, which is shorter at first, makes the browser scroll.
  const back = known ? scrolls.get(known) : undefined;
  settled = false;
  const moved = entry !== null;
  entry = history.state.entry;

  chrome(first);
  searchBox(query.get('q'));
  if (first === 'search') document.querySelector('#search input').value = query.get('q') ?? '';
  else document.querySelector('#search input').value = '';

  const slow = setTimeout(() => main.replaceChildren(lines(6)), 150);
  try {
    const load = PAGES[page];
    if (!load) {
      title(t('notFound'));
      main.replaceChildren(h('div.empty', h('h1', t('notFound')), h('p', t('notFoundText')), h('a.btn', { href: '#/' }, t('toShop'))));
      return;
    }
    const { default: open } = await load();
    if (signal.aborted) return;
    clearTimeout(slow);
    const view = h('div', { class: `page p-${page || 'home'}` });
    main.replaceChildren(view);
    await open({ view, id, query, signal, title, page });
  } catch (error) {
    if (signal.aborted) return;
    console.error(error);
    // A module of an older version that is no longer served: load the page anew, once.
    if (!error.code && navigator.onLine && !sessionStorage.getItem('mela.reloaded')) {
      sessionStorage.setItem('mela.reloaded', '1');
      location.reload();
      return;
    }
    main.replaceChildren(failure({ code: error.code ?? 'OFFLINE' }, show));
  } finally {
    clearTimeout(slow);
    if (!signal.aborted) {
      if (back !== undefined) settle(back, signal);
      else {
        if (moved) scrollTo(0, 0);
        settled = true;
      }
      if (moved && !main.contains(document.activeElement)) main.focus({ preventScroll: true });
      if (moved) announce(document.title);
    }
  }
}

let watching = null;

/** Unread messages, now and as they come; not before the page stands. */
async function inbox() {
  watching?.abort();
  watching = null;
  if (!session()) {
    unread = 0;
    return chrome(parse(location.hash).first);
  }
  watching = new AbortController();
  const { signal } = watching;
  const { watch } = await import('./unread.js');
  watch(signal, (n, message) => {
    unread = n;
    chrome(parse(location.hash).first);
    // On the page it is about, the news is already there.
    if (message && !message.link?.endsWith(location.hash.slice(1).split('?')[0])) toast(message.title);
  });
}

const idle = (work) => (window.requestIdleCallback ? requestIdleCallback(work, { timeout: 3000 }) : setTimeout(work, 1500));

history.scrollRestoration = 'manual';
addEventListener('scroll', () => { if (entry && settled) scrolls.set(entry, scrollY); }, { passive: true });
addEventListener('hashchange', show);
addEventListener('mela:cart', () => chrome(parse(location.hash).first));
addEventListener('mela:session', (event) => {
  if (event.detail === 'ended') toast(t('e.SESSION_ENDED'), true);
  idle(inbox);
});
addEventListener('mela:read', () => idle(inbox));
addEventListener('offline', () => toast(t('e.OFFLINE'), true));
document.getElementById('skip').addEventListener('click', (event) => {
  event.preventDefault();
  main.focus();
});
// Pages that were frozen with a spent cart or token start afresh.
addEventListener('pageshow', (event) => { if (event.persisted) show(); });

await speak(preferred()).catch(() => speak('en'));
await show();
idle(() => {
  sessionStorage.removeItem('mela.reloaded');
  inbox();
});
