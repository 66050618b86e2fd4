/** The confirmation dialog: lists the effects and asks for agreement. */

import { button, h, show, text } from './dom.js';
import { checkReason } from './rules.js';

let serial = 0;

/**
 * False, or `{reason}` when the person agrees. `effects` are sentences, `facts` pairs of label and
 * value; `askReason` has a reason asked for, too.
 */
export function confirm({ title, effects = [], facts = [], ok, danger = false, askReason = false }) {
  serial += 1;
  const titleId = `confirm-title-${serial}`;
  const textId = `confirm-text-${serial}`;
  return new Promise((answer) => {
    let agreed = false;
    const yes = button(ok, { class: danger ? 'danger' : 'primary', 'data-testid': 'confirm-ok' });
    const no = button('Cancel', { 'data-testid': 'confirm-cancel' });
    const reason = h('input', {
      id: `${textId}-reason`, type: 'text', autocomplete: 'off', placeholder: 'why, for the audit trail', 'data-testid': 'confirm-reason',
      'aria-describedby': `${textId}-wrong`,
      on: { keydown: (event) => event.key === 'Enter' && yes.click() },
    });
    const wrong = h('p', { id: `${textId}-wrong`, class: 'field-message', hidden: true });
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
      askReason ? h('div', { class: 'field' }, h('label', { for: `${textId}-reason` }, 'Reason'), reason, wrong) : null,
      h('div', { class: 'actions end' }, no, yes),
    );
    yes.addEventListener('click', () => {
      const mistake = checkReason(reason.value.trim());
      text(wrong, mistake ?? '');
      show(wrong, Boolean(mistake));
      if (mistake) return reason.focus();
      agreed = true;
      dialog.close();
      return undefined;
    });
    no.addEventListener('click', () => dialog.close());
    dialog.addEventListener('close', () => {
      dialog.remove();
      answer(agreed && { reason: reason.value.trim() });
    });
    document.body.append(dialog);
    dialog.showModal();
    // A single Enter must not do what cannot be undone.
    (danger ? no : yes).focus();
  });
}
