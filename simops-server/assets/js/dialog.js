/** A read-only dialog, closed with its button or Escape. */

import { button, h } from './dom.js';

/** Opens it; `name` is its test id, `actions` stand before the button that closes it. */
export function readIn({ name, title, hint }, content, actions = []) {
  const close = button('Close', { 'data-testid': `${name}-close` });
  const dialog = h('dialog', { class: 'confirm wide', 'aria-labelledby': `${name}-title`, 'data-testid': name },
    h('h2', { id: `${name}-title` }, title), hint ? h('p', { class: 'hint mono' }, hint) : null, content,
    h('div', { class: 'actions end' }, actions, close));
  close.addEventListener('click', () => dialog.close());
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
