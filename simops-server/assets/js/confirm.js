/** Asks before something happens, and says what will happen. */

import { button, h } from './dom.js';

let serial = 0;

/** True when the person agrees. `effects` are sentences, `facts` pairs of label and value. */
export function confirm({ title, effects = [], facts = [], ok, danger = false }) {
  serial += 1;
  const titleId = `confirm-title-${serial}`;
  const textId = `confirm-text-${serial}`;
  return new Promise((answer) => {
    let agreed = false;
    const yes = button(ok, { class: danger ? 'danger' : 'primary', 'data-testid': 'confirm-ok' });
    const no = button('Cancel', { 'data-testid': 'confirm-cancel' });
    const dialog = h(
      'dialog',
      { class: 'confirm', 'data-testid': 'confirm', 'aria-labelledby': titleId, 'aria-describedby': textId },
      h('h2', { id: titleId }, title),
      h(
        'div',
        { id: textId, class: 'confirm-text' },
        effects.length ? h('ul', { class: 'effects' }, effects.map((line) => h('li', null, line))) : null,
        facts.length
          ? h('dl', { class: 'facts' }, facts.map(([k, v]) => h('div', null, h('dt', null, k), h('dd', null, v))))
          : null,
      ),
      h('div', { class: 'actions end' }, no, yes),
    );
    yes.addEventListener('click', () => {
      agreed = true;
      dialog.close();
    });
    no.addEventListener('click', () => dialog.close());
    dialog.addEventListener('close', () => {
      dialog.remove();
      answer(agreed);
    });
    document.body.append(dialog);
    dialog.showModal();
    // What cannot be taken back is not one Enter away.
    (danger ? no : yes).focus();
  });
}
