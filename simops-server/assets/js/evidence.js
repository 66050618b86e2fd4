/** Shows the response of an API path as evidence, requested with the operator's token. */

import { readIn } from './dialog.js';
import { h } from './dom.js';

/** Opens a dialog with the answer of `path` (`/api/admin/…`). */
export async function showEvidence(app, path, label) {
  const content = h('pre', { tabindex: '0', 'aria-label': 'Answer' }, 'Loading…');
  readIn({ name: 'evidence', title: label, hint: path }, content);
  try {
    content.textContent = JSON.stringify(await app.api.get(path.replace(/^\/api\/admin\//, '')), null, 2);
  } catch (error) {
    content.textContent = error.message;
  }
}
