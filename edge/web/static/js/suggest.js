// Completion of the search field: a combobox with a list below it.

import { h, announce } from './dom.js';
import { catalogue } from './api.js';
import { t } from './i18n.js';

const WAIT_MS = 160;

export function attach(form, input) {
  const list = h('ul.suggestions', { id: 'suggestions', role: 'listbox', 'aria-label': t('suggestions'), hidden: true });
  form.append(list);
  for (const [k, v] of Object.entries({ role: 'combobox', 'aria-expanded': 'false', 'aria-controls': list.id, 'aria-autocomplete': 'list' })) input.setAttribute(k, v);
  let timer;
  let running = new AbortController();
  let at = -1;

  function close() {
    clearTimeout(timer);
    running.abort();
    list.hidden = true;
    at = -1;
    input.setAttribute('aria-expanded', 'false');
    input.removeAttribute('aria-activedescendant');
  }

  function open(suggestions) {
    at = -1;
    list.replaceChildren(...suggestions.map(({ text, slug }, i) => h('li', { role: 'option', id: `s-${i}`, 'aria-selected': 'false', 'data-slug': slug,
      onpointerdown: (event) => event.preventDefault(), onclick: () => go(slug) }, text)));
    list.hidden = suggestions.length === 0;
    input.setAttribute('aria-expanded', String(!list.hidden));
    input.removeAttribute('aria-activedescendant');
    if (suggestions.length) announce(t('nSuggestions', { n: suggestions.length }));
  }

  function go(slug) {
    close();
    input.blur();
    location.hash = `#/p/${encodeURIComponent(slug)}`;
  }

  function mark(next) {
    const options = [...list.children];
    if (!options.length) return;
    at = (next + options.length) % options.length;
    options.forEach((o, i) => o.setAttribute('aria-selected', String(i === at)));
    input.setAttribute('aria-activedescendant', options[at].id);
    options[at].scrollIntoView({ block: 'nearest' });
  }

  async function ask() {
    const prefix = input.value.trim();
    running.abort();
    if (prefix.length < 2) return close();
    running = new AbortController();
    const { signal } = running;
    try {
      const { suggest } = await catalogue('query S($p: String!) { suggest(prefix: $p, first: 6) { text slug } }', { p: prefix }, signal);
      if (!signal.aborted && document.activeElement === input) open(suggest);
    } catch {
      // Without completion the field still searches.
    }
  }

  input.addEventListener('input', () => {
    clearTimeout(timer);
    timer = setTimeout(ask, WAIT_MS);
  });
  input.addEventListener('keydown', (event) => {
    if (event.key === 'ArrowDown') mark(at + 1);
    else if (event.key === 'ArrowUp') mark(at - 1);
    else if (event.key === 'Escape') close();
    else if (event.key === 'Enter' && at >= 0) go(list.children[at].dataset.slug);
    else return;
    event.preventDefault();
  });
  input.addEventListener('blur', close);
  form.addEventListener('submit', close);
  ask();
}
