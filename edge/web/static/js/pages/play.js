// The quiz: what the server says is shown, what is chosen is sent. The server keeps time and score.

import { announce, h, icon, show, toast } from '../dom.js';
import { anySession, gql, loggedIn, refresh, session, token } from '../api.js';
import { lang, t } from '../i18n.js';
import { count } from '../format.js';
import { action, explain, field, fill, lines } from '../ui.js';

const BOARD = `query Board($w: BoardWindow!) { leaderboard(game: "quiz", window: $w, first: 10) { total
  top { rank nickname score me } me { rank nickname score me } neighbours { rank nickname score me } } }`;
const MAX_TRIES = 6;

function table(rows, caption) {
  return h('table.board', h('caption.sr', caption), h('thead', h('tr', h('th', { scope: 'col' }, t('rank')), h('th', { scope: 'col' }, t('player')), h('th', { scope: 'col' }, t('points')))),
    h('tbody', rows.map((r) => h(r.me ? 'tr.mine' : 'tr', h('td', r.rank), h('td', r.nickname, r.me && h('small', ` (${t('you')})`)), h('td', count(r.score))))));
}

function board(signal) {
  const place = h('div');
  const load = (w) => fill(place, lines(5), () => gql(BOARD, { w }, signal), ({ leaderboard: b }) => {
    if (!b.top.length) return h('p.muted', t('boardEmpty'));
    const below = b.me && !b.top.some((r) => r.me) ? b.neighbours : [];
    return [table(b.top, t('board')), below.length > 0 && [h('p.muted', '⋯'), table(below, t('aroundYou'))]].flat();
  }, signal);
  const pick = (w, on) => h('label.pick', h('input', { type: 'radio', name: 'window', value: w, checked: on, onchange: () => load(w) }), h('span', t(`board.${w}`)));
  load('WEEKLY');
  return h('section.box', { 'aria-labelledby': 'board' }, h('h2', { id: 'board' }, t('board')), h('fieldset.plainset', h('legend.sr', t('window')), pick('WEEKLY', true), pick('ALL_TIME', false)), place);
}

function nickname() {
  const wrong = h('div');
  const name = field(t('nickname'), { name: 'nickname', maxlength: 24, autocomplete: 'nickname' }, t('nicknameHint'));
  const save = action(t('save'), async () => {
    await anySession();
    await gql('mutation N($n: String!) { setNickname(nickname: $n) }', { n: name.input.value.trim() });
    toast(t('saved'));
  }, { place: wrong, type: 'submit', kind: 'btn.quiet' });
  return h('details.box', h('summary', t('nickname')), h('form', { novalidate: true, onsubmit: save.run }, h('div.pair', name, save), wrong));
}

export default async function play({ view, signal, title }) {
  title(t('quiz'));
  const stage = h('section.stage', { 'aria-labelledby': 'quiz' });
  const around = h('div');
  view.append(stage, around);

  let socket = null;
  let match = null;
  let offset = 0;
  let players = [];
  let seat = -1;
  let tries = 0;
  let over = true;
  let beat = null;
  let clock = null;
  let gone = null;
  let replayed = false;
  let question = null;

  const heading = (text) => h('h1', { id: 'quiz', tabindex: -1 }, text);
  const send = (message) => { if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message)); };

  function lobby(error) {
    stop();
    around.replaceChildren(board(signal), nickname());
    const wrong = h('div', error && h('div.failure', { role: 'alert' }, h('p', explain(error))));
    const go = action([icon('play'), t('start')], () => begin(), { place: wrong, kind: 'btn.gold.wide' });
    go.id = 'start';
    stage.replaceChildren(heading(t('quiz')), h('p', t('quizText')), h('ul.rules', h('li', t('rule1')), h('li', t('rule2')), h('li', t('rule3'))), wrong, go);
  }

  async function begin() {
    await anySession();
    match = null;
    offset = 0;
    players = [];
    seat = -1;
    tries = 0;
    replayed = false;
    over = false;
    around.replaceChildren();
    stage.replaceChildren(heading(t('finding')), h('p', { role: 'status' }, t('findingText')), h('div.wheel', { 'aria-hidden': 'true' }));
    stage.querySelector('h1').focus();
    await connect();
  }

  function stop() {
    over = true;
    clearInterval(beat);
    clearInterval(clock);
    clearTimeout(gone);
    const old = socket;
    socket = null;
    old?.close();
  }

  async function connect() {
    const access = await token();
    if (over || signal.aborted) return;
    const ws = new WebSocket(`${location.origin.replace(/^http/, 'ws')}/play`);
    socket = ws;
    ws.onopen = () => send({ t: 'hello', token: access, ...(match && { resume: { match, offset } }) });
    ws.onmessage = (event) => receive(JSON.parse(event.data), access);
    ws.onclose = async ({ code }) => {
      if (socket !== ws) return undefined;
      clearInterval(beat);
      socket = null;
      if (over || signal.aborted) return undefined;
      tries += 1;
      if (code === 4409) return lobby({ code: 'ELSEWHERE' });
      if (code === 4400 || code === 4429) return lobby({ code: 'INTERNAL' });
      if (tries > MAX_TRIES) return lobby({ code: 'OFFLINE' });
      if (code === 4401) await renew(access);
      stage.classList.add('away');
      announce(t('reconnecting'));
      setTimeout(() => connect().catch((error) => lobby(error)), Math.min(8000, 500 * 2 ** tries));
      return undefined;
    };
  }

  async function renew(access) {
    await refresh(access).catch(() => null);
    await anySession().catch(() => null);
  }

  async function receive(m, access) {
    clearTimeout(gone);
    if (m.t === 'state' && !players.length && !replayed) {
      // The page was loaded anew in mid-match: who sits where was said at its beginning.
      replayed = true;
      match = m.match;
      offset = 0;
      socket?.close();
      return;
    }
    if ('o' in m) {
      // After a resume something may come twice.
      if (m.match === match && m.o <= offset) return;
      match = m.match;
      offset = m.o;
    }
    if (m.t === 'welcome') {
      tries = 0;
      stage.classList.remove('away');
      clearInterval(beat);
      let n = 0;
      beat = setInterval(() => send({ t: 'ping', n: (n += 1) }), Math.max(2, m.heartbeat_s * 0.7) * 1000);
      if (match && m.recovered) return;
      if (match) {
        // Either it shows how the match stands now, or there is nothing left of it.
        offset = -1;
        gone = setTimeout(() => {
          lobby();
          toast(t('roundGone'));
        }, 2500);
        return;
      }
      send({ t: 'join', game: 'quiz' });
    } else if (m.t === 'joined') waiting(m);
    else if (m.t === 'state') (m.phase === 'question' ? ask : reveal)(m);
    else if (m.t === 'accepted') accepted();
    else if (m.t === 'result') result(m);
    else if (m.t === 'error') {
      if (['TOKEN_EXPIRED', 'UNAUTHENTICATED'].includes(m.code) && tries < 2) {
        tries += 1;
        await renew(access);
        socket?.close();
      } else if (['TOO_LATE', 'TOO_FAST', 'INVALID_INPUT'].includes(m.code)) toast(explain(m), true);
      else lobby(m);
    }
  }

  function countdown(el, ms) {
    clearInterval(clock);
    const end = performance.now() + ms;
    const tick = () => { el.textContent = Math.max(0, Math.ceil((end - performance.now()) / 1000)); };
    tick();
    clock = setInterval(tick, 250);
  }

  const who = (p) => (p.seat === seat ? t('you') : p.nickname);

  function waiting(m) {
    const mine = m.players.find((p) => p.person && p.person === session()?.personId);
    const fresh = players.length === 0;
    players = m.players;
    if (mine) ({ seat } = mine);
    const left = h('b');
    countdown(left, m.starts_in_ms);
    stage.replaceChildren(heading(t('finding')), h('p', t('startsIn'), ' ', left, ' ', t('seconds')),
      h('ul.plain.seats', players.map((p) => h(p.seat === seat ? 'li.mine' : 'li', h('span.face', { 'aria-hidden': 'true' }, [...p.nickname][0]), h('span', who(p), p.bot && h('small.muted', ` ${t('bot')}`))))));
    if (fresh) announce(t('nPlayers', { n: players.length }));
  }

  function ask(m) {
    question = { ...m, answered: null };
    const hindi = lang() === 'hi' && m.text_hi;
    const left = h('b.clock', { 'aria-hidden': 'true' });
    const bar = h('i');
    bar.style.animationDuration = `${m.ends_in_ms}ms`;
    const choices = m.choices.map((text, i) => h('button.choice', { type: 'button', 'data-choice': i, onclick: () => answer(i) }, h('span.key', { 'aria-hidden': 'true' }, 'ABCDEFGH'[i]), h('span', text)));
    const head = h('h1', { id: 'quiz', tabindex: -1, lang: hindi ? 'hi' : 'en' }, hindi ? m.text_hi : m.text);
    stage.replaceChildren(h('p.row', h('span.muted', t('questionOf', { i: m.index + 1, n: m.of })), h('span.points', t('yourPoints', { n: count(m.scores[seat] ?? 0) })), left),
      h('div.timer', { 'aria-hidden': 'true' }, bar), head, h('div.choices', { role: 'group', 'aria-labelledby': 'quiz', lang: 'en' }, choices), h('p.said', { role: 'status' }));
    countdown(left, m.ends_in_ms);
    head.focus({ preventScroll: true });
    stage.scrollIntoView({ block: 'start' });
  }

  function answer(i) {
    if (!question || question.answered !== null) return;
    question.answered = i;
    stage.querySelectorAll('.choice').forEach((b, n) => {
      b.setAttribute('aria-disabled', 'true');
      b.classList.toggle('mine', n === i);
    });
    send({ t: 'input', match, question: question.index, choice: i });
  }

  function accepted() {
    const said = stage.querySelector('.said');
    if (said) said.textContent = t('accepted');
  }

  function reveal(m) {
    const right = question?.answered === m.correct;
    const mine = question && question.index === m.index ? question.answered : null;
    stage.querySelectorAll('.choice').forEach((b, n) => {
      b.setAttribute('aria-disabled', 'true');
      if (n === m.correct) {
        b.classList.add('right');
        b.append(icon('check', 20), h('span.sr', t('rightAnswer')));
      } else if (n === mine) b.classList.add('wrong');
    });
    stage.querySelector('.timer')?.classList.add('off');
    const said = stage.querySelector('.said');
    if (said) said.textContent = mine === null ? t('noAnswer') : t(right ? 'right' : 'wrong');
    const points = stage.querySelector('.points');
    if (points) points.textContent = t('yourPoints', { n: count(m.scores[seat] ?? 0) });
    const clockText = stage.querySelector('.clock');
    if (clockText) countdown(clockText, m.next_in_ms);
    const order = players.map((p) => ({ p, score: m.scores[p.seat] ?? 0 })).sort((a, b) => b.score - a.score);
    stage.append(h('ol.scores', order.map(({ p, score }) => h(p.seat === seat ? 'li.mine' : 'li', h('span', who(p)), h('b', count(score))))));
    question = null;
  }

  function result({ standings }) {
    stop();
    const mine = standings.find((s) => s.seat === seat);
    const coins = mine?.coins ?? 0;
    const head = heading(mine ? t(mine.rank === 1 ? 'won' : 'place', { n: mine.rank }) : t('over'));
    const again = action(t('again'), () => begin(), { kind: 'btn.quiet' });
    again.id = 'again';
    show(stage, head,
      h('p.prize', { id: 'prize', 'data-coins': coins }, icon('coin', 32), coins > 0 ? t('wonCoins', { n: count(coins) }) : t('noPrize')),
      table(standings.map((s) => ({ rank: s.rank, nickname: s.nickname, score: s.score, me: s.seat === seat })), t('standings')),
      coins > 0 && !loggedIn() && h('p.note', t('keepCoins'), ' ', h('a', { href: '#/login?next=/play' }, t('login'))),
      h('p.row.wrap', h('a.btn.gold', { href: '#/' }, t('spend')), again));
    head.focus();
    announce(coins > 0 ? t('wonCoins', { n: coins }) : t('over'));
    around.replaceChildren(board(signal), nickname());
  }

  addEventListener('keydown', (event) => {
    const i = 'abcdefgh'.indexOf(event.key.toLowerCase());
    const n = i >= 0 ? i : Number(event.key) - 1;
    if (!question || event.ctrlKey || event.metaKey || event.altKey || event.target.matches?.('input,textarea,select')) return;
    if (event.key.length === 1 && n >= 0 && n < question.choices.length) answer(n);
  }, { signal });
  signal.addEventListener('abort', () => {
    if (!over) send({ t: 'leave' });
    stop();
  });
  lobby();
}
