import { h, show } from '../dom.js';
import { catalogue, gql, loggedIn, session } from '../api.js';
import { load, rememberOrder, setAddress, toGateway } from '../cart.js';
import { named, store, t } from '../i18n.js';
import { day, inr } from '../format.js';
import { action, breakup, empty, explain, field, fill, lines } from '../ui.js';

const PIN = 'query Pin($c: String!) { pincode(code: $c) { state district deliverable cashOnDelivery days } }';
const PLACE = `mutation Place($input: PlaceOrderInput!) { placeOrder(input: $input) {
  orderKey order { id number state } next { url fields { name value } } } }`;
const LAST = 'mela.address';

/** The same try has the same key, so that pressing twice or a lost answer never orders twice. */
function keyFor(what) {
  const name = 'mela.try';
  const kept = store.get(name);
  if (kept?.what === what) return kept.key;
  const bytes = crypto.getRandomValues(new Uint8Array(18));
  const key = btoa(String.fromCharCode(...bytes)).replace(/\+/g, '-').replace(/\//g, '_');
  store.set(name, { what, key });
  return key;
}

function addressForm(cart, me, saved) {
  const known = cart.address ?? store.get(LAST) ?? {};
  const of = (name, props, label, hint) => field(label, { name, value: known[name] ?? '', ...props }, hint);
  const fields = {
    name: of('name', { autocomplete: 'name', maxlength: 100, required: true, value: known.name ?? me?.name ?? '' }, t('name')),
    phone: of('phone', { type: 'tel', autocomplete: 'tel', inputmode: 'tel', maxlength: 16, required: true, value: known.phone ?? me?.phone ?? '' }, t('mobile')),
    pincode: of('pincode', { inputmode: 'numeric', autocomplete: 'postal-code', maxlength: 6, required: true }, t('pincode')),
    line1: of('line1', { autocomplete: 'address-line1', maxlength: 200, required: true }, t('line1')),
    line2: of('line2', { autocomplete: 'address-line2', maxlength: 200 }, t('line2')),
    city: of('city', { autocomplete: 'address-level2', maxlength: 100, required: true }, t('city')),
    email: of('email', { type: 'email', autocomplete: 'email', maxlength: 200, value: known.email ?? me?.email ?? '' }, t('email'), t('emailHint')),
  };
  const place = h('p.place', { role: 'status' });
  fields.pincode.append(place);
  let asked = '';
  async function look() {
    const code = fields.pincode.input.value.trim();
    if (!/^[1-9]\d{5}$/.test(code) || code === asked) return;
    asked = code;
    place.textContent = '…';
    try {
      const { pincode: p } = await catalogue(PIN, { c: code });
      if (asked !== code) return;
      place.textContent = `${p.district}, ${p.state}. ${p.deliverable ? t('arrives', { d: day(new Date(Date.now() + p.days * 86400000)) }) : t('e.NOT_DELIVERABLE')}`;
      place.classList.toggle('wrong', !p.deliverable);
      if (!fields.city.input.value) {
        fields.city.input.value = p.district;
        fields.city.say('');
      }
    } catch (error) {
      place.textContent = '';
      asked = '';
      if (error.code !== 'OFFLINE') fields.pincode.say(explain(error));
    }
  }
  fields.pincode.input.addEventListener('input', () => { place.textContent = ''; asked = ''; look(); });
  look();

  const wrong = h('div');
  const save = action(t('useAddress'), async () => {
    const value = Object.fromEntries(Object.entries(fields).map(([k, f]) => [k, f.input.value.trim()]));
    const checks = { name: value.name, phone: /^(\+?91[\s-]*|0)?[6-9](\D*\d){9}$/.test(value.phone), pincode: /^[1-9]\d{5}$/.test(value.pincode), line1: value.line1, city: value.city, email: !value.email || /^\S+@\S+\.\S+$/.test(value.email) };
    const bad = Object.keys(fields).filter((k) => k in checks && !checks[k]);
    bad.forEach((k) => fields[k].say(t(`bad.${k}`)));
    if (bad.length) return fields[bad[0]].input.focus();
    try {
      const cart2 = await setAddress({ ...value, email: value.email || null, line2: value.line2 || null });
      store.set(LAST, value);
      saved(cart2);
    } catch (error) {
      const f = fields[error.field?.split('.').pop()];
      if (!f) throw error;
      f.say(explain(error));
      f.input.focus();
    }
    return undefined;
  }, { place: wrong, type: 'submit', kind: 'btn.wide' });
  save.id = 'use-address';
  return h('form', { novalidate: true, onsubmit: save.run, autocomplete: 'on' }, Object.values(fields), wrong, save);
}

function payment(cart, back) {
  const wrong = h('div');
  // The server's own list; with nothing left to pay, coins are the only one.
  const methods = cart.methods;
  let method = methods.find((m) => m !== 'CASH_ON_DELIVERY') ?? methods[0];
  const label = h('span');
  const fee = h('div', { role: 'status' });
  const sums = () => (method === 'CASH_ON_DELIVERY' ? cart.totalsOnDelivery : cart.totals);
  const due = () => sums().toPay;
  const say = () => {
    label.textContent = t(method === 'RAZORPAY' ? 'payX' : 'orderX', { x: inr(due()) });
    const extra = due() - cart.totals.toPay;
    fee.hidden = extra === 0;
    show(fee, extra !== 0 && [h('p.note', t('codFeeNote', { x: inr(extra) })), breakup(sums(), { method })]);
  };
  const options = methods.map((m) => h('label.method', h('input', { type: 'radio', name: 'method', value: m, checked: m === method, onchange: () => { method = m; say(); } }),
    h('span', h('b', t(`pay.${m}`)), h('small', t(`pay.${m}.text`)))));
  const pay = action(label, async () => {
    const input = { cartId: cart.id, method, expectedToPay: due(), idempotencyKey: keyFor(`${cart.id}/${method}/${due()}`) };
    let placed;
    try {
      placed = (await gql(PLACE, { input })).placeOrder;
    } catch (error) {
      if (error.code === 'SLOW' || error.code === 'OFFLINE') placed = (await gql(PLACE, { input })).placeOrder;
      else if (['TOTAL_CHANGED', 'CART_CHANGED', 'OUT_OF_STOCK', 'NOT_FOR_SALE'].includes(error.code)) return back(error);
      else throw error;
    }
    rememberOrder(placed.order.id, placed.orderKey);
    store.set('mela.try', null);
    const there = `#/orders/${placed.order.id}`;
    if (!placed.next) {
      location.replace(`${there}?placed=1`);
      return undefined;
    }
    // Walking back from the gateway leads to the order, which can be paid again.
    history.replaceState(null, '', there);
    toGateway(placed.next);
    return new Promise((done) => { setTimeout(done, 15000); });
  }, { place: wrong, kind: 'btn.wide' });
  pay.id = 'pay';
  say();
  // The address is known, so what is left over here cannot be mended on this page.
  const stops = cart.problems.filter((p) => p.code !== 'ADDRESS_MISSING');
  return h('div', h('fieldset.methods', h('legend', t('howPay')), options), fee,
    stops.map((p) => h('p.hint.wrong', { role: 'alert' }, explain(p))),
    wrong, methods.length && !stops.length ? pay : h('a.btn.quiet.wide', { href: '#/cart' }, t('backToCart')), h('p.muted', t('payNote')));
}

export default async function checkout({ view, signal, title }) {
  title(t('checkout'));
  view.append(h('h1', t('checkout')));
  const place = h('div');
  view.append(place);
  const get = async () => {
    const [cart, me] = await Promise.all([load(signal), session() ? gql('{ me { phone name email } }', {}, signal).then((d) => d.me, () => null) : null]);
    return { cart, me };
  };
  await fill(place, lines(8), get, ({ cart, me }) => {
    if (!cart?.lines.length) return empty(t('cartEmpty'), t('cartEmptyText'), '#/', t('toShop'));
    const body = h('div');
    const paint = (now, { edit = !now.address, error } = {}) => {
      const a = now.address;
      const head = (n, text, id) => h('h2', { id }, h('span.step', n), text);
      show(body,
        !loggedIn() && h('p.note.row', h('span', t('loginToTrack')), h('a', { href: '#/login?next=/checkout' }, t('login'))),
        error && h('p.hint.wrong', { role: 'alert' }, explain(error)),
        h('div.two.cart-two', h('div',
          h('section.box', { 'aria-labelledby': 's1' }, head(1, t('deliverTo'), 's1'),
            edit ? addressForm(now, me, (saved) => { paint(saved, { edit: false }); body.querySelector('#s2')?.parentElement.scrollIntoView({ block: 'start' }); body.querySelector('.method input, #pay')?.focus({ preventScroll: true }); })
              : h('div', h('address', h('b', a.name), h('br'), a.line1, a.line2 && [', ', a.line2], h('br'), `${a.city} ${a.pincode}`, h('br'), now.state && h('span', { id: 'state' }, now.state), h('br'), a.phone),
                h('button.link', { type: 'button', onclick: () => { paint(now, { edit: true }); body.querySelector('input')?.focus(); } }, t('change')))),
          h('section.box', { 'aria-labelledby': 's2' }, head(2, t('payment'), 's2'),
            edit ? h('p.muted', t('afterAddress')) : payment(now, async (error2) => paint(await load(signal) ?? now, { error: error2 })))),
        h('section.box.sticky', { 'aria-labelledby': 'sum' }, h('h2', { id: 'sum' }, t('summary')),
          h('ul.plain.small', now.lines.map((l) => h('li.row', h('span', `${l.quantity} × ${named(l.product ?? l).text}`), h('span', inr(l.total + l.discount))))),
          breakup(now.totals), h('p', h('a', { href: '#/cart' }, t('backToCart'))))));
    };
    paint(cart);
    return body;
  }, signal);
}
