// The only way to the server: POST for what concerns a person, GET for the catalogue, so that
// browser and server may keep the answer.

import { store } from './i18n.js';

const SESSION = 'mela.session';
const TIMEOUT_MS = 20000;
const TOKENS = 'accessToken accessExpiresInS refreshToken';

/** A refusal: `code` is stable, see `explain` for the words. */
export class ApiError extends Error {
  constructor(code, message, more = {}) {
    super(message);
    this.code = code;
    Object.assign(this, more);
  }
}

export const session = () => store.get(SESSION);
export const loggedIn = () => session()?.guest === false;

function keep(s) {
  store.set(SESSION, s);
  dispatchEvent(new Event('mela:session'));
}

function login({ accessToken, accessExpiresInS, refreshToken, personId, guest }) {
  keep({ access: accessToken, until: Date.now() + accessExpiresInS * 1000, refresh: refreshToken, personId, guest });
}

async function send(url, options, signal) {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), TIMEOUT_MS);
  const passOn = () => stop.abort();
  signal?.addEventListener('abort', passOn);
  let response;
  let body;
  try {
    response = await fetch(url, { ...options, signal: stop.signal });
    body = await response.json();
  } catch (error) {
    if (signal?.aborted) throw new ApiError('ABORTED', 'left the page');
    if (stop.signal.aborted) throw new ApiError('SLOW', 'no answer in time');
    if (response) throw new ApiError(response.status === 429 ? 'TOO_MANY_REQUESTS' : 'INTERNAL', `answer ${response.status} cannot be read`);
    throw new ApiError('OFFLINE', error.message);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', passOn);
  }
  const first = body.errors?.[0];
  if (first) {
    const { code, ...more } = first.extensions ?? {};
    throw new ApiError(code ?? 'INTERNAL', first.message, more);
  }
  return body.data;
}

function post(query, variables, token, signal) {
  const headers = { 'content-type': 'application/json', accept: 'application/json' };
  if (token) headers.authorization = `Bearer ${token}`;
  return send('/graphql', { method: 'POST', headers, body: JSON.stringify({ query, variables }) }, signal);
}

const kept = new Map();
const KEEP_MS = 60000;
const KEEP_ANSWERS = 60;

/** The catalogue: the same for everybody, so without a token and kept for a minute. */
export async function catalogue(query, variables = {}, signal) {
  const parts = { query: query.replace(/\s+/g, ' ').trim(), variables: JSON.stringify(variables) };
  const url = `/graphql?${new URLSearchParams(parts)}`;
  const hit = kept.get(url);
  if (hit && Date.now() - hit.at < KEEP_MS) return hit.data;
  const data = await send(url, { headers: { accept: 'application/json' } }, signal);
  kept.delete(url);
  kept.set(url, { at: Date.now(), data });
  if (kept.size > KEEP_ANSWERS) kept.delete(kept.keys().next().value);
  return data;
}

let refreshing = null;

// A refresh token works once, and using it twice ends the session: one tab at a time.
const alone = (work) => (navigator.locks ? navigator.locks.request('mela.refresh', work) : work());

/** A token newer than `stale`; null if the session has ended. */
export function refresh(stale) {
  refreshing ??= alone(async () => {
    const now = session();
    if (!now) return null;
    if (now.access !== stale) return now.access;
    try {
      const data = await post(`mutation R($t: String!) { refresh(refreshToken: $t) { ${TOKENS} } }`, { t: now.refresh });
      login({ ...now, ...data.refresh });
      return data.refresh.accessToken;
    } catch (error) {
      if (['OFFLINE', 'SLOW', 'TOO_MANY_REQUESTS', 'INTERNAL'].includes(error.code)) throw error;
      store.set(SESSION, null);
      dispatchEvent(new CustomEvent('mela:session', { detail: now.guest ? null : 'ended' }));
      return null;
    }
  }).finally(() => { refreshing = null; });
  return refreshing;
}

/** A token that is good for some seconds more, or null without a session. */
export async function token() {
  const s = session();
  if (!s) return null;
  return s.until - Date.now() < 15000 ? refresh(s.access) : s.access;
}

/** Anything that concerns the caller. */
export async function gql(query, variables, signal) {
  const access = await token();
  try {
    return await post(query, variables, access, signal);
  } catch (error) {
    if (!access || !['TOKEN_EXPIRED', 'UNAUTHENTICATED', 'SESSION_ENDED'].includes(error.code)) throw error;
    return post(query, variables, await refresh(access), signal);
  }
}

let starting = null;

/** Makes sure that there is a session, as a guest if need be. */
export function anySession() {
  if (session()) return Promise.resolve(session());
  starting ??= post(`mutation { startGuest { ${TOKENS} personId guest } }`, {})
    .then((data) => { login(data.startGuest); return session(); })
    .finally(() => { starting = null; });
  return starting;
}

export async function verifyOtp(phone, code) {
  const query = `mutation V($phone: String!, $code: String!) { verifyOtp(phone: $phone, code: $code) { ${TOKENS} personId guest isNew } }`;
  const { verifyOtp: done } = await gql(query, { phone, code });
  login(done);
  return done;
}

export async function logout(everywhere) {
  try {
    await gql(everywhere ? 'mutation { logoutEverywhere }' : 'mutation { logout }');
  } finally {
    // Phones are shared: the next person must not meet this one's address and orders.
    ['mela.address', 'mela.orderKeys', 'mela.try'].forEach((name) => store.set(name, null));
    keep(null);
  }
}
