// graphql-transport-ws on /graphql: one socket for all subscriptions, opened when the first is
// wanted, opened again by itself when the line breaks.

import { refresh, session, token } from './api.js';

const PROTOCOL = 'graphql-transport-ws';
const wanted = new Map();
let ids = 0;
let socket = null;
let failures = 0;
let timer = null;
let used = null;
let ready = false;

function say(message) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function start(id, { query, variables }) {
  say({ id, type: 'subscribe', payload: { query, variables } });
}

function tell(up) {
  for (const sub of wanted.values()) sub.status?.(up);
}

function later() {
  clearTimeout(timer);
  if (!wanted.size) return;
  const wait = Math.min(30000, 800 * 2 ** failures) * (0.7 + Math.random() * 0.6);
  failures += 1;
  timer = setTimeout(connect, wait);
}

async function connect() {
  clearTimeout(timer);
  if (socket || !wanted.size) return;
  socket = 'opening';
  let access;
  try {
    access = await token();
  } catch {
    socket = null;
    return later();
  }
  used = session()?.personId ?? null;
  const ws = new WebSocket(`${location.origin.replace(/^http/, 'ws')}/graphql`, PROTOCOL);
  socket = ws;
  ready = false;
  ws.onopen = () => say({ type: 'connection_init', payload: access ? { authorization: `Bearer ${access}` } : {} });
  ws.onmessage = (event) => {
    const { type, id, payload } = JSON.parse(event.data);
    const sub = wanted.get(id);
    if (type === 'connection_ack') {
      failures = 0;
      ready = true;
      wanted.forEach((s, key) => start(key, s));
      tell(true);
    } else if (type === 'ping') say({ type: 'pong' });
    else if (type === 'next') {
      if (payload.data) sub?.next(payload.data);
    } else if (type === 'error') {
      wanted.delete(id);
      sub?.error?.(payload[0]);
    } else if (type === 'complete') {
      wanted.delete(id);
      sub?.done?.();
    }
  };
  ws.onclose = async (event) => {
    if (socket !== ws) return;
    socket = null;
    tell(false);
    if (event.code === 4403 && access) await refresh(access).catch(() => null);
    later();
  };
}

/** Subscribes until `signal` aborts. `status(up)` tells of the line, `next(data)` of news. */
export function subscribe(query, variables, { signal, ...handlers }) {
  const id = String((ids += 1));
  const sub = { query: query.replace(/\s+/g, ' '), variables, ...handlers };
  wanted.set(id, sub);
  signal.addEventListener('abort', () => {
    if (wanted.delete(id)) say({ id, type: 'complete' });
  });
  // Before the server's `ack` nothing may be asked; then everything wanted is.
  if (ready && socket?.readyState === WebSocket.OPEN) start(id, sub);
  else connect();
}

function again() {
  failures = 0;
  connect();
}

addEventListener('online', again);
document.addEventListener('visibilitychange', () => { if (!document.hidden) again(); });
// Another person: the socket was opened in the name of the former.
addEventListener('mela:session', () => {
  if ((session()?.personId ?? null) === used || !(socket instanceof WebSocket)) return;
  const old = socket;
  socket = null;
  old.close();
  again();
});
