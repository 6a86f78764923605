import en from './en.js';

const KEY = 'mela.lang';
let words = en;
let current = 'en';

/** localStorage that also works where it is forbidden; then it forgets on reload. */
export const store = {
  memory: new Map(),
  get(key) {
    try {
      return JSON.parse(localStorage.getItem(key));
    } catch {
      return this.memory.get(key) ?? null;
    }
  },
  set(key, value) {
    this.memory.set(key, value);
    try {
      if (value === null) localStorage.removeItem(key);
      else localStorage.setItem(key, JSON.stringify(value));
    } catch {
      // Kept in memory.
    }
  },
};

export const lang = () => current;

/** Hindi is loaded only for those who read it. */
export async function speak(language) {
  if (language === 'hi') words = { ...en, ...(await import('./hi.js')).default };
  else words = en;
  current = language;
  document.documentElement.lang = language;
}

export async function choose(language) {
  await speak(language);
  store.set(KEY, language);
}

export const preferred = () => store.get(KEY) ?? (navigator.language?.startsWith('hi') ? 'hi' : 'en');

/** A text in the chosen language; `{name}` is filled from `values`, `_one` is used for n = 1. */
export function t(key, values) {
  const text = (values?.n === 1 && words[`${key}_one`]) || words[key] || key;
  return values ? text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? '') : text;
}

export const has = (key) => key in words;

/** `{ text, lang }` of something that the merchant named in one or two languages. */
export function named({ name, nameHi }) {
  const hindi = current === 'hi' && nameHi && nameHi !== name;
  return { text: hindi ? nameHi : name, lang: hindi ? 'hi' : 'en' };
}
