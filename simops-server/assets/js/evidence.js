/** Shows what a path of the API answers: a piece of evidence, read with the operator's token. */

import { button, h } from './dom.js';

/** Opens a dialog with the answer of `path` (`/api/admin/…`). */
export async function showEvidence(app, path, label) {
  const content = h('pre', { tabindex: '0', 'aria-label': 'Answer' }, 'Loading…');
  const close = button('Close', { 'data-testid': 'evidence-close' });
  const dialog = h('dialog', { class: 'confirm wide', 'aria-labelledby': 'evidence-title', 'data-testid': 'evidence' },
    h('h2', { id: 'evidence-title' }, label), h('p', { class: 'hint mono' }, path), content, h('div', { class: 'actions end' }, close));
  close.addEventListener('click', () => dialog.close());
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  try {
    content.textContent = JSON.stringify(await app.api.get(path.replace(/^\/api\/admin\//, '')), null, 2);
  } catch (error) {
    content.textContent = error.message;
  }
}
