import { h } from '../dom.js';
import { gql, session } from '../api.js';
import { t } from '../i18n.js';
import { when } from '../format.js';
import { empty, fill, lines, more } from '../ui.js';

const INBOX = 'query Inbox($after: String) { inbox(first: 20, after: $after) { unread pageInfo { hasNextPage endCursor } nodes { id kind title body link createdAt readAt } } }';

/** Only paths within the shop are followed. */
const within = (link) => (link && /^#?\/(?!\/)/.test(link) ? `#${link.replace(/^#|^\/#/, '')}` : null);

function message(m) {
  const href = within(m.link);
  const read = () => {
    if (m.readAt) return;
    m.readAt = new Date().toISOString();
    el.classList.remove('new');
    gql('mutation R($id: ID!) { markRead(messageId: $id) }', { id: m.id }).then(() => dispatchEvent(new Event('mela:read')), () => null);
  };
  const el = h(m.readAt ? 'li.message' : 'li.message.new', h('h2', !m.readAt && h('span.sr', t('new'), ': '), m.title), h('p', m.body), h('p.row', h('small.muted', when(m.createdAt)),
    href ? h('a', { href, onclick: read }, t('open')) : !m.readAt && h('button.link', { type: 'button', onclick: (e) => { read(); e.target.remove(); } }, t('markRead'))));
  return el;
}

export default async function inbox({ view, signal, title }) {
  title(t('tab.inbox'));
  view.append(h('h1', t('tab.inbox')));
  const place = h('div');
  view.append(place);
  if (!session()) {
    place.append(empty(t('noMessages'), t('inboxLogin'), '#/login?next=/inbox', t('login')));
    return;
  }
  const load = () => fill(place, lines(6), () => gql(INBOX, {}, signal), ({ inbox: page }) => {
    if (!page.nodes.length) return empty(t('noMessages'), t('noMessagesText'), '#/', t('toShop'));
    const list = h('ul.plain', page.nodes.map(message));
    let { hasNextPage, endCursor } = page.pageInfo;
    const next = more(async () => {
      const data = await gql(INBOX, { after: endCursor }, signal);
      list.append(...data.inbox.nodes.map(message));
      ({ hasNextPage, endCursor } = data.inbox.pageInfo);
      if (!hasNextPage) next.remove();
    });
    return [list, hasNextPage && next];
  }, signal);
  addEventListener('mela:message', load, { signal });
  await load();
}
