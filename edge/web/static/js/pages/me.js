import { h, icon, toast } from '../dom.js';
import { gql, loggedIn, logout, session } from '../api.js';
import { forget } from '../cart.js';
import { choose, has, lang, t } from '../i18n.js';
import { count, inr, when } from '../format.js';
import { action, explain, field, fill, lines, more } from '../ui.js';

const ENTRIES = 'pageInfo { hasNextPage endCursor } nodes { id amount code at }';
const ME = `{ me { guest phone name email } wallet { available held entries(first: 8) { ${ENTRIES} } } shop { paisePerCoin supportEmail } }`;

function entry(e) {
  const sign = e.amount > 0 ? '+' : '−';
  return h('li.row', h('span', has(`coin.${e.code}`) ? t(`coin.${e.code}`) : e.code, h('br'), h('small.muted', when(e.at))), h('b', { class: e.amount > 0 ? 'plus' : null }, `${sign}${count(Math.abs(e.amount))}`));
}

function purse({ available, held, entries }, worth) {
  const list = h('ul.plain.entries', entries.nodes.map(entry));
  let { hasNextPage, endCursor } = entries.pageInfo;
  const next = more(async () => {
    const { wallet } = await gql(`query W($after: String) { wallet { entries(first: 20, after: $after) { ${ENTRIES} } } }`, { after: endCursor });
    list.append(...wallet.entries.nodes.map(entry));
    ({ hasNextPage, endCursor } = wallet.entries.pageInfo);
    if (!hasNextPage) next.remove();
  });
  return h('section.box', { 'aria-labelledby': 'wallet' }, h('h2', { id: 'wallet' }, icon('coin', 20), t('coins')),
    h('p.purse', h('b', count(available)), ' ', t('worth', { x: inr(available * worth) })),
    held > 0 && h('p.muted', t('held', { n: count(held) })),
    entries.nodes.length ? list : h('p', t('noCoins')), hasNextPage && next,
    h('p.muted', t('coinsLaw')), h('p', h('a', { href: '#/play' }, t('playNow'))));
}

function profile(me) {
  const wrong = h('div');
  const name = field(t('name'), { name: 'name', autocomplete: 'name', maxlength: 100, value: me.name ?? '' });
  const email = field(t('email'), { name: 'email', type: 'email', autocomplete: 'email', maxlength: 200, value: me.email ?? '' }, t('emailHint'));
  const save = action(t('save'), async () => {
    try {
      await gql('mutation E($n: String, $e: String) { editProfile(name: $n, email: $e) { id } }', { n: name.input.value.trim(), e: email.input.value.trim() });
      toast(t('saved'));
    } catch (error) {
      const f = { name, email }[error.field];
      if (!f) throw error;
      f.say(explain(error));
      f.input.focus();
    }
  }, { place: wrong, type: 'submit' });
  return h('section.box', { 'aria-labelledby': 'profile' }, h('h2', { id: 'profile' }, t('profile')), h('p.muted', me.phone), h('form', { novalidate: true, onsubmit: save.run }, name, email, wrong, save));
}

export default async function me({ view, signal, title }) {
  title(t('tab.me'));
  const place = h('div');
  const languages = h('fieldset.box.langs', h('legend', t('language')), [['en', 'English'], ['hi', 'हिन्दी']].map(([code, name]) => h('label.pick', h('input', { type: 'radio', name: 'lang', value: code, checked: lang() === code,
    onchange: () => choose(code).then(() => dispatchEvent(new Event('hashchange'))) }), h('span', { lang: code }, name))));
  view.append(h('h1', t('tab.me')));
  if (!loggedIn()) view.append(h('section.box', h('p', t('guestText')), h('a.btn', { href: '#/login' }, t('login'))));
  view.append(place, languages);
  if (!session()) return;
  await fill(place, lines(8), () => gql(ME, {}, signal), ({ me: who, wallet, shop }) => {
    const wrong = h('div');
    const out = (everywhere) => async () => {
      await logout(everywhere);
      forget();
      toast(t('loggedOut'));
      location.hash = '#/';
    };
    return [
      purse(wallet, shop.paisePerCoin),
      who && !who.guest && profile(who),
      who && !who.guest && h('section.box', h('p.row', action(t('logout'), out(false), { place: wrong, kind: 'btn.quiet' }), action(t('logoutAll'), out(true), { place: wrong, kind: 'link' })), wrong),
      shop.supportEmail && h('p.box', t('help'), ' ', h('a', { href: `mailto:${shop.supportEmail}` }, shop.supportEmail)),
    ];
  }, signal);
}
