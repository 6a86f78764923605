import { h, toast } from '../dom.js';
import { gql, loggedIn, verifyOtp } from '../api.js';
import { claim } from '../cart.js';
import { t } from '../i18n.js';
import { action, explain, field } from '../ui.js';

export default async function login({ view, query, signal, title }) {
  title(t('login'));
  const next = query.get('next');
  const target = next && /^\/[\w/?=&-]*$/.test(next) ? `#${next}` : '#/me';
  if (loggedIn()) return location.replace(target);

  const body = h('div');
  view.append(h('h1', t('login')), h('p', t('loginText')), body);

  function askPhone(value = '') {
    const wrong = h('div');
    const phone = field(t('mobile'), { name: 'phone', type: 'tel', inputmode: 'tel', autocomplete: 'tel', maxlength: 16, required: true, value, placeholder: '98765 43210' }, t('mobileHint'));
    const go = action(t('sendCode'), async () => {
      try {
        const { requestOtp } = await gql('mutation O($p: String!) { requestOtp(phone: $p) { expiresInS resendAfterS } }', { p: phone.input.value });
        askCode(phone.input.value, requestOtp);
      } catch (error) {
        if (error.field !== 'phone') throw error;
        phone.say(explain(error));
        phone.input.focus();
      }
    }, { place: wrong, type: 'submit', kind: 'btn.wide' });
    body.replaceChildren(h('form.narrow', { novalidate: true, onsubmit: go.run }, phone, wrong, go));
    if (value) phone.input.focus();
  }

  function askCode(phone, { expiresInS, resendAfterS }) {
    const wrong = h('div');
    const code = field(t('code'), { name: 'code', inputmode: 'numeric', autocomplete: 'one-time-code', maxlength: 6, pattern: '[0-9]*', required: true }, t('codeHint', { p: phone, m: Math.round(expiresInS / 60) }));
    code.input.classList.add('code');
    const go = action(t('login'), async () => {
      try {
        const done = await verifyOtp(phone, code.input.value.trim());
        await claim().catch(() => null);
        toast(done.isNew ? t('welcomeNew') : t('welcome'));
        location.replace(target);
      } catch (error) {
        if (!error.code) throw error;
        code.say(explain(error));
        code.input.select();
      }
    }, { place: wrong, type: 'submit', kind: 'btn.wide' });
    code.input.addEventListener('input', () => { if (/^\d{6}$/.test(code.input.value)) go.run(); });

    let left = resendAfterS;
    const again = action('', async () => {
      const { requestOtp } = await gql('mutation O($p: String!) { requestOtp(phone: $p) { expiresInS resendAfterS } }', { p: phone });
      toast(t('sentAgain'));
      left = requestOtp.resendAfterS;
      tick();
    }, { place: wrong, kind: 'link' });
    const tick = () => {
      again.disabled = left > 0;
      again.textContent = left > 0 ? t('resendIn', { s: left }) : t('resend');
      if (left > 0 && !signal.aborted) setTimeout(() => { left -= 1; tick(); }, 1000);
    };
    tick();
    body.replaceChildren(h('form.narrow', { novalidate: true, onsubmit: go.run }, code, wrong, go,
      h('p.row', again, h('button.link', { type: 'button', onclick: () => askPhone(phone) }, t('otherNumber')))));
    code.input.focus();
  }

  askPhone();
  return undefined;
}
