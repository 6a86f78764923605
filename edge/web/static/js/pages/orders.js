import { h, icon } from '../dom.js';
import { gql, session } from '../api.js';
import { knownOrders } from '../cart.js';
import { t } from '../i18n.js';
import { inr, when } from '../format.js';
import { empty, fill, lines, more } from '../ui.js';

const ROW = 'id number state placedAt totals { toPay total } lines { name nameHi quantity }';
const ORDERS = `query Orders($after: String) { orders(first: 15, after: $after) { pageInfo { hasNextPage endCursor } nodes { ${ROW} } } }`;

function row(o) {
  const first = o.lines[0];
  return h('li', h('a.rowlink', { href: `#/orders/${o.id}` },
    h('span', h('b', first ? first.name : o.number), o.lines.length > 1 && h('small', ' ', t('andMore', { n: o.lines.length - 1 })), h('br'), h('small.muted', `${o.number} · ${when(o.placedAt)}`)),
    h('span.end', h('span', { class: `state s-${o.state}` }, t(`state.${o.state}`)), h('b', inr(o.totals.total))), icon('next', 18)));
}

/** Without a session: the orders whose keys this browser keeps. */
async function byKeys(signal) {
  const known = knownOrders().slice(0, 10);
  const one = ([id, key]) => gql(`query O($id: ID!, $key: String) { order(id: $id, key: $key) { ${ROW} } }`, { id, key }, signal).then((d) => d.order, () => null);
  return (await Promise.all(known.map(one))).filter(Boolean);
}

export default async function orders({ view, query, signal, title }) {
  title(t('tab.orders'));
  view.append(h('h1', t('tab.orders')));
  if (query.get('payment') === 'unknown') view.append(h('p.note', { role: 'status' }, t('payUnknown')));
  const place = h('div');
  view.append(place);
  await fill(place, lines(6), async () => {
    if (!session()) return { nodes: await byKeys(signal), pageInfo: {} };
    const { orders: page } = await gql(ORDERS, {}, signal);
    if (!page.nodes.length) page.nodes = await byKeys(signal);
    return page;
  }, ({ nodes, pageInfo }) => {
    if (!nodes.length) return empty(t('noOrders'), t('noOrdersText'), session()?.guest === false ? '#/' : '#/login?next=/orders', session()?.guest === false ? t('toShop') : t('login'));
    const list = h('ul.plain.rows', nodes.map(row));
    let { hasNextPage, endCursor } = pageInfo;
    const next = more(async () => {
      const { orders: page } = await gql(ORDERS, { after: endCursor }, signal);
      list.append(...page.nodes.map(row));
      ({ hasNextPage, endCursor } = page.pageInfo);
      if (!hasNextPage) next.remove();
    });
    return [list, hasNextPage && next, !session() && h('p.note', t('guestOrders'))];
  }, signal);
}
