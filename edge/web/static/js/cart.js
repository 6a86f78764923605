// The cart's id and count live in the browser; all else is the server's.

import { anySession, gql, loggedIn } from './api.js';
import { store } from './i18n.js';

const KEY = 'mela.cart';
const KEYS = 'mela.orderKeys';

const SUMS = 'subtotal discount shipping codFee total tax coins coinsValue toPay';

export const CART = `id version orderId coupon coins state methods
  lines { variantId sku name quantity unitPrice unitMrp discount total
    product { slug name nameHi media { alt thumbnail { url width height } } variants { id options { code value } available media { alt thumbnail { url width height } } } } }
  address { name phone email line1 line2 city pincode }
  totals { ${SUMS} } totalsOnDelivery { ${SUMS} }
  problems { code message variantId }`;

export const cartId = () => store.get(KEY)?.id ?? null;
export const cartCount = () => store.get(KEY)?.count ?? 0;

function remember(cart) {
  const count = cart?.lines?.reduce((sum, line) => sum + line.quantity, 0) ?? 0;
  store.set(KEY, cart && !cart.orderId ? { id: cart.id, count } : null);
  dispatchEvent(new Event('mela:cart'));
  return cart;
}

export const forget = () => remember(null);

const gone = (error) => ['CART_NOT_FOUND', 'CART_PLACED', 'INVALID_ID'].includes(error.code);

/** The open cart, or null. */
export async function load(signal) {
  if (cartId()) {
    try {
      const { cart } = await gql(`query C($id: ID!) { cart(id: $id) { ${CART} } }`, { id: cartId() }, signal);
      if (!cart.orderId) return remember(cart);
    } catch (error) {
      if (!gone(error)) throw error;
    }
    forget();
  }
  if (!loggedIn()) return null;
  const { myCart } = await gql(`{ myCart { ${CART} } }`, {}, signal);
  return myCart && remember(myCart);
}

export async function add(variantId, quantity) {
  const lines = [{ variantId, quantity }];
  // A guest session keeps cart, orders and coins together; without one the cart works all the same.
  await anySession().catch(() => null);
  if (cartId()) {
    try {
      const query = `mutation A($id: ID!, $lines: [LineInput!]!) { addLines(cartId: $id, lines: $lines) { ${CART} } }`;
      return remember((await gql(query, { id: cartId(), lines })).addLines);
    } catch (error) {
      if (!gone(error)) throw error;
      forget();
    }
  }
  const query = `mutation N($input: CreateCartInput!) { createCart(input: $input) { ${CART} } }`;
  return remember((await gql(query, { input: { lines } })).createCart);
}

async function change(name, type, value, argument) {
  const query = `mutation M($id: ID!, $v: ${type}) { ${name}(cartId: $id, ${argument}: $v) { ${CART} } }`;
  return remember((await gql(query, { id: cartId(), v: value }))[name]);
}

export const setLines = (lines) => change('setLines', '[LineInput!]!', lines, 'lines');
export const setAddress = (address) => change('setAddress', 'AddressInput!', address, 'address');
export const setCoupon = (code) => change('setCoupon', 'String', code, 'code');
export const setCoins = (coins) => change('setCoins', 'Int!', coins, 'coins');

/** After login: the cart without owner joins the one of the customer. */
export async function claim() {
  try {
    if (cartId()) {
      const query = `mutation K($id: ID!) { claimCart(cartId: $id) { ${CART} } }`;
      return remember((await gql(query, { id: cartId() })).claimCart);
    }
  } catch (error) {
    if (!gone(error)) throw error;
    forget();
  }
  return load();
}

/** Guests read their orders by key. */
export const orderKey = (id) => store.get(KEYS)?.[id] ?? null;

export function rememberOrder(id, key) {
  const keys = Object.entries({ ...store.get(KEYS), [id]: key }).slice(-50);
  store.set(KEYS, Object.fromEntries(keys));
  forget();
}

export const knownOrders = () => Object.entries(store.get(KEYS) ?? {}).reverse();

/** Sends the shopper to the gateway's own page. */
export function toGateway({ url, fields }) {
  const form = document.createElement('form');
  form.method = 'post';
  form.action = url;
  for (const { name, value } of fields) {
    const input = document.createElement('input');
    Object.assign(input, { type: 'hidden', name, value });
    form.append(input);
  }
  document.body.append(form);
  form.submit();
}
