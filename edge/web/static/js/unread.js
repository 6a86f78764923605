import { gql } from './api.js';
import { subscribe } from './live.js';

/** Calls `tell(unread, newMessage)` now and whenever a message arrives. */
export async function watch(signal, tell) {
  let n = 0;
  try {
    n = (await gql('{ inbox(first: 1) { unread } }', {}, signal)).inbox.unread;
  } catch {
    return;
  }
  tell(n);
  subscribe('subscription { inboxMessage { id title body link } }', {}, {
    signal,
    next: ({ inboxMessage }) => {
      tell((n += 1), inboxMessage);
      dispatchEvent(new CustomEvent('mela:message', { detail: inboxMessage }));
    },
  });
}
