/** Shared by report forms: number fields with bounds, a submit button with the reason it is disabled, an error line. */

import { attr, button, h, show, text } from './dom.js';

/** A number from `min` to `max`; `read()` returns it, undefined when empty, or null after showing a validation message. */
export function numberField({ id, label, min, max, fallback }) {
  const message = h('p', { id: `${id}-message`, class: 'field-message', hidden: true });
  const input = h('input', {
    id, 'data-testid': id, type: 'text', inputmode: 'numeric', autocomplete: 'off', class: 'figure',
    placeholder: String(fallback), 'aria-describedby': `${id}-message`,
  });
  const node = h('div', { class: 'field' }, h('label', { for: id }, label), input, message);
  function read() {
    const typed = input.value.trim();
    const good = typed === '' || (/^\d+$/.test(typed) && Number(typed) >= min && Number(typed) <= max);
    show(message, !good);
    text(message, good ? '' : `A whole number from ${min} to ${max}.`);
    attr(input, 'aria-invalid', good ? null : 'true');
    if (!good) return null;
    return typed === '' ? undefined : Number(typed);
  }
  input.addEventListener('input', read);
  return { node, read, focus: () => input.focus() };
}

/** A button that creates a report with `make()`; `held(status)` returns the reason it is disabled. */
export function maker(app, label, id, make) {
  const failure = h('p', { class: 'failure', role: 'alert', hidden: true, 'data-testid': `${id}-error` });
  const why = h('span', { class: 'hint', id: `${id}-why` });
  const go = button(label, { class: 'primary', 'data-testid': id, 'aria-describedby': `${id}-why`, on: { click: run } });
  let busy = false;

  function hold(status) {
    const reason = busy ? 'Working…' : status.admin_write_enabled ? '' : 'Read-only: write controls are disabled in this environment.';
    attr(go, 'disabled', Boolean(reason));
    attr(go, 'title', reason || null);
    text(why, reason);
  }

  async function run() {
    show(failure, false);
    busy = true;
    hold(app.store.get('status'));
    try {
      await make();
    } catch (error) {
      const what = error.status === 404 ? `${label} is not available on this server: ${error.message}` : error.message;
      const fields = (error.errors ?? []).map(({ field, message }) => `${field} ${message}`).join('; ');
      text(failure, fields ? `${what} (${fields})` : what);
      show(failure, true);
    } finally {
      busy = false;
      const status = app.store.get('status');
      if (status) hold(status);
    }
  }

  return { node: h('div', { class: 'actions' }, go, why), failure, hold };
}
