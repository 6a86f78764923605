// Elements are built, never parsed: data only ever becomes text nodes and attribute values.

const SVG = 'http://www.w3.org/2000/svg';

function put(el, child) {
  if (child === null || child === undefined || child === false) return;
  if (Array.isArray(child)) child.forEach((c) => put(el, c));
  else el.append(child instanceof Node ? child : String(child));
}

function set(el, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name.startsWith('on')) el.addEventListener(name.slice(2), value);
  else if (name === 'style') for (const [k, v] of Object.entries(value)) el.style.setProperty(k, v);
  else if (name === 'value' || name === 'checked') el[name] = value;
  else el.setAttribute(name, value === true ? '' : value);
}

/** `h('p.note', { id: 'x' }, 'text', child)`; the props may be left out. */
export function h(what, props, ...children) {
  const [tag, ...classes] = what.split('.');
  const el = document.createElement(tag);
  if (classes.length) el.className = classes.join(' ');
  if (props instanceof Node || Array.isArray(props) || typeof props !== 'object') put(el, props);
  else for (const [name, value] of Object.entries(props ?? {})) set(el, name, value);
  children.forEach((c) => put(el, c));
  return el;
}

const PATHS = {
  home: 'M4 11 12 4l8 7v9h-5v-6H9v6H4z',
  play: 'M7 8h10a4 4 0 0 1 4 4.500c0 3-1.500 5.500-3.500 5.500-1.500 0-2-2-3.500-2h-4c-1.500 0-2 2-3.500 2C4.500 18 3 15.500 3 12.500A4 4 0 0 1 7 8zM8 10.500v4M6 12.500h4M15.500 11.500v.010M17.500 13.500v.010',
  orders: 'M4 8l8-4 8 4v8l-8 4-8-4zM4 8l8 4 8-4M12 12v8M8 6l8 4',
  inbox: 'M6 17h12l-1.500-2V11a4.500 4.500 0 0 0-9 0v4zM10 19.500a2 2 0 0 0 4 0M12 4.500V6.500',
  me: 'M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.500 20.500c.8-4 3.700-6 7.500-6s6.700 2 7.500 6',
  cart: 'M3 4h2.500l2.200 11h10.100L20 7.500H6.200M9 19.500v.010M17 19.500v.010',
  search: 'M10.500 17a6.500 6.500 0 1 0 0-13 6.500 6.500 0 0 0 0 13zM15.500 15.500 20.500 20.500',
  star: 'M12 3.500l2.600 5.400 5.900.8-4.300 4.100 1 5.900-5.200-2.800-5.200 2.800 1-5.900L3.500 9.700l5.900-.8z',
  check: 'M5 12.500l4.500 4.500L19 7.500',
  close: 'M6 6l12 12M18 6L6 18',
  coin: 'M12 20.500a8.500 8.500 0 1 0 0-17 8.500 8.500 0 0 0 0 17zM9 8.500h6M9 11.300h6M9 8.500h1.500c3.500 0 3.500 5.500 0 5.500H9l4 3.500',
  truck: 'M3 6.500h11v10H3zM14 10h4l3 3v3.500h-7M7 19a1.800 1.800 0 1 0 0-3.600A1.800 1.800 0 0 0 7 19zM17.500 19a1.800 1.800 0 1 0 0-3.600 1.800 1.800 0 0 0 0 3.600z',
  next: 'M9 5l7 7-7 7',
  filter: 'M4 7h10M18 7h2M4 17h2M10 17h10M16 9.200a2.200 2.200 0 1 0 0-4.400 2.200 2.200 0 0 0 0 4.400zM8 19.200a2.200 2.200 0 1 0 0-4.400 2.200 2.200 0 0 0 0 4.400z',
};

/** A line icon, for the eye only: its neighbour or label must say the same in words. */
export function icon(name, size = 24) {
  const svg = document.createElementNS(SVG, 'svg');
  const path = document.createElementNS(SVG, 'path');
  const given = { viewBox: '0 0 24 24', width: size, height: size, class: `icon i-${name}`, 'aria-hidden': 'true', focusable: 'false' };
  for (const [k, v] of Object.entries(given)) svg.setAttribute(k, v);
  path.setAttribute('d', PATHS[name]);
  svg.append(path);
  return svg;
}

/** Replaces what is in `el`; what is missing or false is left out. */
export function show(el, ...children) {
  el.replaceChildren();
  put(el, children);
}

/** Says something to screen readers without showing it. */
export function announce(text) {
  const live = document.getElementById('live');
  live.textContent = '';
  setTimeout(() => { live.textContent = text; }, 60);
}

/** Shows a line for some seconds and says it. */
export function toast(text, bad = false) {
  const el = h(bad ? 'p.toast.bad' : 'p.toast', text);
  document.getElementById('toasts').replaceChildren(el);
  announce(text);
  setTimeout(() => el.remove(), bad ? 8000 : 4500);
}
