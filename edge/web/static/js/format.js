import { lang } from './i18n.js';

const whole = new Intl.NumberFormat('en-IN', { style: 'currency', currency: 'INR', minimumFractionDigits: 0, maximumFractionDigits: 0 });
const exact = new Intl.NumberFormat('en-IN', { style: 'currency', currency: 'INR', minimumFractionDigits: 2 });
const number = new Intl.NumberFormat('en-IN');

/** `₹1,23,456` or `₹1,23,456.50` from paise. */
export const inr = (paise) => (paise % 100 ? exact : whole).format(paise / 100);

export const count = (n) => number.format(n);

const locale = () => (lang() === 'hi' ? 'hi-IN' : 'en-IN');

export const when = (iso) =>
  new Intl.DateTimeFormat(locale(), { day: 'numeric', month: 'short', hour: 'numeric', minute: '2-digit' }).format(new Date(iso));

export const day = (date) => new Intl.DateTimeFormat(locale(), { weekday: 'short', day: 'numeric', month: 'short' }).format(date);
