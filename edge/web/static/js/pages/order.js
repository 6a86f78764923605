// One order, kept up to date by subscription; asking is only for the first look and for a line
// that carries no sockets.

import { announce, h, icon, show, toast } from '../dom.js';
import { ApiError, gql } from '../api.js';
import { forget, orderKey, toGateway } from '../cart.js';
import { lang, t, has } from '../i18n.js';
import { inr, when } from '../format.js';
import { subscribe } from '../live.js';
import { action, breakup, empty, fill, lines } from '../ui.js';

const ORDER = `id number state method stateName placedAt invoiceNumber invoiceUrl
  lines { id name nameHi hsn quantity unitPrice discount total rateBp taxable cgst sgst igst }
  totals { subtotal discount shipping codFee total tax coins coinsValue toPay }
  payment { state amount refunded failure }
  address { name phone line1 line2 city pincode }
  parcel { courier awb trackingUrl state scans { at code text place } }
  history { state at note }`;
const WAY = ['CONFIRMED', 'SHIPPED', 'OUT_FOR_DELIVERY', 'DELIVERED'];
const BACK = ['RETURNING', 'RETURNED'];
const POLL_MS = 15000;

function progress(o) {
  if (o.state === 'CANCELLED' || o.state === 'PENDING_PAYMENT') return null;
  const way = BACK.includes(o.state) ? ['CONFIRMED', 'SHIPPED', ...BACK] : WAY;
  const at = way.indexOf(o.state);
  return h('ol.way', { 'aria-label': t('progress') }, way.map((s, i) => h(i <= at ? 'li.done' : 'li', { 'aria-current': i === at ? 'step' : null }, h('span.dot', i <= at && icon('check', 14)), h('span', t(`state.${s}`)))));
}

function scans(parcel) {
  if (!parcel) return null;
  const safe = /^https?:\/\//.test(parcel.trackingUrl ?? '');
  return h('section.box', { 'aria-labelledby': 'parcel' }, h('h2', { id: 'parcel' }, icon('truck', 20), t('parcel')),
    h('p', has(`parcel.${parcel.state}`) ? t(`parcel.${parcel.state}`) : parcel.state, parcel.awb && h('span.muted', ` · ${parcel.courier ?? ''} ${parcel.awb}`)),
    parcel.scans.length > 0 && h('ol.trail', [...parcel.scans].sort((a, b) => (a.at < b.at ? 1 : -1)).map((s) => h('li', h('b', s.text), s.place && `, ${s.place}`, h('br'), h('small.muted', when(s.at))))),
    safe && h('p', h('a', { href: parcel.trackingUrl, rel: 'noopener noreferrer', target: '_blank' }, t('courierPage'))));
}

function tax(l) {
  const rate = `${l.rateBp / 100}%`;
  const parts = l.igst ? `IGST ${inr(l.igst)}` : `CGST ${inr(l.cgst)} + SGST ${inr(l.sgst)}`;
  return `HSN ${l.hsn} · GST ${rate}: ${parts}`;
}

function pay(o, key, place) {
  return action(t('payX', { x: inr(o.totals.toPay) }), async () => {
    const { payAgain } = await gql('mutation P($id: ID!, $key: String) { payAgain(orderId: $id, key: $key) { url fields { name value } } }', { id: o.id, key });
    if (payAgain) toGateway(payAgain);
  }, { place, kind: 'btn.wide' });
}

function cancel(o, key, done) {
  const wrong = h('div');
  const reasons = ['changed', 'mistake', 'slow', 'other'];
  const select = h('select', { id: 'why' }, reasons.map((r) => h('option', { value: r }, t(`why.${r}`))));
  const sure = action(t('cancelOrder'), async () => {
    const { cancelOrder } = await gql(`mutation X($id: ID!, $key: String, $why: String!) { cancelOrder(orderId: $id, key: $key, reason: $why) { ${ORDER} } }`, { id: o.id, key, why: select.value });
    toast(t('cancelled'));
    done(cancelOrder);
  }, { place: wrong, kind: 'btn.quiet' });
  return h('details.box', h('summary', t('cancelOrder')), h('p', t('cancelText')), h('div.field', h('label', { for: 'why' }, t('why')), select), wrong, sure);
}

export default async function order({ view, id, query, signal, title }) {
  const key = orderKey(id);
  title(t('order'));
  const head = h('h1', t('order'));
  const link = h('p.live', { role: 'status' });
  const place = h('div');
  view.append(head, link, place);
  // The cart became this order, perhaps in another tab.
  if (query.has('payment') || query.has('placed')) forget();

  let shown = null;
  const note = { paid: 'payPaid', failed: 'payFailed', unknown: 'payUnknown' }[query.get('payment')];

  function paint(o) {
    const same = shown && JSON.stringify(shown) === JSON.stringify(o);
    if (same) return;
    const moved = shown && shown.state !== o.state;
    const focus = place.contains(document.activeElement) && document.activeElement.id;
    const opened = new Set([...place.querySelectorAll('details[open]')].map((d) => d.id));
    shown = o;
    head.textContent = t('orderNo', { x: o.number });
    head.dataset.number = o.number;
    title(t('orderNo', { x: o.number }));
    const wrong = h('div');
    const pending = o.state === 'PENDING_PAYMENT';
    const a = o.address;
    const items = h('details.box', { id: 'items' }, h('summary', t('itemsN', { n: o.lines.length })), h('ul.plain', o.lines.map((l) => {
      const hindi = lang() === 'hi' && l.nameHi;
      return h('li.item', h('p.row', h('span', { lang: hindi ? 'hi' : 'en' }, `${l.quantity} × ${hindi ? l.nameHi : l.name}`), h('b', inr(l.total))), h('p.muted.small', tax(l)));
    })), breakup(o.totals, { method: o.method }));
    items.open = opened.has('items');
    const past = h('section.box', { 'aria-labelledby': 'history' }, h('h2', { id: 'history' }, t('history')), h('ol.trail', [...o.history].reverse().map((e) => h('li', h('b', t(`state.${e.state}`)), h('br'), h('small.muted', when(e.at), e.note && ` · ${e.note}`)))));
    show(place,
      h('div', { class: `banner s-${o.state}`, id: 'state', 'data-state': o.state }, h('b', t(`state.${o.state}`)), h('span', t(`state.${o.state}.text`))),
      pending && note && h('p.note', t(note)),
      pending && o.payment?.failure && h('p.note', t('failure', { x: o.payment.failure })),
      pending && [wrong, pay(o, key, wrong)],
      progress(o),
      scans(o.parcel),
      o.invoiceUrl && o.invoiceUrl.startsWith('/') && h('p', h('a.btn.quiet.wide', { id: 'invoice', href: o.invoiceUrl, target: '_blank', rel: 'noopener' }, t('invoice', { x: o.invoiceNumber }))),
      h('p.box.row', h('span', t(`pay.${o.method}`)), h('span', has(`pays.${o.payment?.state}`) ? t(`pays.${o.payment.state}`) : '', o.payment?.refunded > 0 && ` · ${t('refunded', { x: inr(o.payment.refunded) })}`, ' ', h('b', inr(o.totals.toPay)))),
      items,
      a && h('section.box', { 'aria-labelledby': 'to' }, h('h2', { id: 'to' }, t('deliverTo')), h('address', h('b', a.name), h('br'), a.line1, a.line2 && `, ${a.line2}`, h('br'), `${a.city} ${a.pincode}, ${o.stateName}`, h('br'), a.phone)),
      past,
      (pending || o.state === 'CONFIRMED') && cancel(o, key, paint),
      query.has('placed') && h('p', h('a.btn.quiet.wide', { href: '#/' }, t('toShop'))),
    );
    if (focus) document.getElementById(focus)?.focus({ preventScroll: true });
    if (moved) {
      announce(`${t('orderNo', { x: o.number })}: ${t(`state.${o.state}`)}`);
      document.getElementById('state').classList.add('moved');
    }
  }

  const get = async () => {
    const { order: found } = await gql(`query Order($id: ID!, $key: String) { order(id: $id, key: $key) { ${ORDER} } }`, { id, key }, signal);
    if (!found) throw new ApiError('ORDER_NOT_FOUND', 'no such order');
    return found;
  };

  const final = () => ['DELIVERED', 'RETURNED', 'CANCELLED'].includes(shown?.state);
  await fill(place, lines(8), async () => {
    try {
      return await get();
    } catch (error) {
      if (error.code !== 'ORDER_NOT_FOUND') throw error;
      return null;
    }
  }, (o) => {
    if (!o) return empty(t('e.ORDER_NOT_FOUND'), t('orderLogin'), '#/login?next=/orders', t('login'));
    paint(o);
    return [...place.childNodes];
  }, signal);
  if (!shown || signal.aborted) return;
  if (query.get('payment') === 'paid') toast(t('payPaid'));

  let live = false;
  subscribe(`subscription Moved($id: ID!, $key: String) { orderMoved(orderId: $id, key: $key) { ${ORDER} } }`, { id, key }, {
    signal,
    next: ({ orderMoved }) => orderMoved && paint(orderMoved),
    status: (up) => {
      live = up;
      link.className = up ? 'live on' : 'live';
      link.textContent = final() ? '' : t(up ? 'liveOn' : 'liveOff');
    },
  });
  const timer = setInterval(() => { if (!live && !document.hidden && !final()) get().then(paint, () => null); }, POLL_MS);
  signal.addEventListener('abort', () => clearInterval(timer));
}
