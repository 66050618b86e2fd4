/** Builds and patches elements. Data only ever becomes text or a plain attribute, so nothing needs escaping. */

const SVG = 'http://www.w3.org/2000/svg';
const ACTIVE = /^(on|style$|src|href$|action$|formaction$)/i;

/** Sets an attribute if it differs; null, undefined and false remove it. */
export function attr(node, name, value) {
  if (ACTIVE.test(name) && !(name === 'href' && String(value).startsWith('#'))) {
    throw new Error(`attribute ${name} is not for data`);
  }
  if (value === null || value === undefined || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
    return;
  }
  const text = value === true ? '' : String(value);
  if (node.getAttribute(name) !== text) node.setAttribute(name, text);
}

/** Sets the text if it differs, to preserve selection and avoid repeated announcements. */
export function text(node, value) {
  const next = value === null || value === undefined ? '' : String(value);
  if (node.textContent !== next) node.textContent = next;
}

/** Shows or hides. */
export function show(node, visible) {
  if (node.hidden === visible) node.hidden = !visible;
}

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (name === 'on') {
      for (const [type, listener] of Object.entries(value)) node.addEventListener(type, listener);
    } else {
      attr(node, name, value);
    }
  }
  for (const child of children.flat()) {
    if (child !== null && child !== undefined && child !== false) node.append(child);
  }
  return node;
}

/** An element: `h('p', {class: 'note', on: {click}}, 'text', child)`. */
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** An SVG element. */
export function s(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

/** A button that submits nothing. */
export function button(label, props) {
  return h('button', { type: 'button', ...props }, label);
}

const nodesOf = new WeakMap();

/** Reconciles the children of `parent` with `items`: elements with a known key are kept and patched. */
export function keyed(parent, items, keyOf, create, update) {
  const known = nodesOf.get(parent) ?? new Map();
  nodesOf.set(parent, known);
  const wanted = new Set(items.map(keyOf));
  for (const [key, node] of known) {
    if (!wanted.has(key)) {
      node.remove();
      known.delete(key);
    }
  }
  let next = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    let node = known.get(key);
    if (!node) {
      node = create(item);
      known.set(key, node);
    }
    if (update) update(node, item);
    if (node === next) next = next.nextElementSibling;
    else parent.insertBefore(node, next);
  }
}
