/** The dialog that defines or edits a budget. */

import { attr, button, h, show, text } from '../dom.js';
import { sentence } from '../format.js';
import { checkReason, wrongName } from '../rules.js';

const MAX_ID = 64;
const NUMBER = /^-?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const EACH = '* means each by itself. A * before or after a text means all that end or begin with that text, together.';

/** The fields, in the order of the dialog: name, label, choices or example. */
const FIELDS = [
  { name: 'id', label: 'ID', mono: true, hint: 'team-a-daily' },
  {
    name: 'scope',
    label: 'Calls of',
    options: [['deployment', 'Deployment (all calls)'], ['group', 'Group of runs'], ['run', 'Run'], ['agent', 'Agent'], ['provider', 'Provider'], ['model', 'Model']],
  },
  { name: 'key', label: 'Key', mono: true, hint: 'name or *', note: EACH },
  { name: 'window', label: 'Window', options: [['day', 'Day (UTC)'], ['month', 'Calendar month (UTC)'], ['run', 'Run'], ['lifetime', 'All time']] },
  { name: 'unit', label: 'Unit', options: [['usd', 'US dollars'], ['calls', 'Calls'], ['tokens', 'Tokens']] },
  { name: 'soft', label: 'Soft limit (calls are degraded)', amount: true, hint: 'none' },
  { name: 'hard', label: 'Hard limit (never exceeded)', amount: true, hint: 'none' },
  { name: 'reason', label: 'Reason', hint: 'why, for the audit trail' },
];

/** Validation messages by field name; the server validates again. `taken` are the ids that a new budget cannot have. */
function check(values, taken) {
  const wrong = {};
  const note = (name, message) => {
    if (message) wrong[name] = message;
  };
  if (!values.id) note('id', 'An ID is needed.');
  else if (taken.includes(values.id)) note('id', 'A budget has this ID already.');
  else note('id', wrongName(values.id, MAX_ID));
  for (const { name, amount } of FIELDS) {
    if (amount && values[name] && !NUMBER.test(values[name])) note(name, 'A number, or empty for no limit.');
  }
  note('reason', checkReason(values.reason));
  return wrong;
}

/** The body of the request: empty fields are left out. */
function bodyOf(values, force) {
  const body = {};
  for (const { name, amount } of FIELDS) {
    const inBody = name !== 'id' && (name !== 'key' || values.scope !== 'deployment');
    if (inBody && values[name]) body[name] = amount ? Number(values[name]) : values[name];
  }
  return force ? { ...body, force } : body;
}

/** Opens the dialog: empty, or filled in from `budget`. It closes once the server has accepted the budget. */
export function editBudget(app, budget = null) {
  const inputs = new Map();
  const messages = new Map();

  function field({ name, label, options, mono, amount, hint, note }) {
    const id = `budget-field-${name}`;
    const about = note ? `${id}-note ${id}-message` : `${id}-message`;
    const shared = { id, 'data-testid': id, 'aria-describedby': about };
    const input = options
      ? h('select', shared, options.map(([value, shown]) => h('option', { value }, shown)))
      : h('input', {
          ...shared, type: 'text', autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false', placeholder: hint,
          inputmode: amount ? 'decimal' : null, class: amount ? 'figure' : mono ? 'mono' : null,
        });
    const message = h('p', { id: `${id}-message`, class: 'field-message', hidden: true });
    const given = budget?.[name];
    if (given !== null && given !== undefined) input.value = String(given);
    if (name === 'id' && budget) attr(input, 'readonly', true);
    inputs.set(name, input);
    messages.set(name, message);
    for (const kind of ['input', 'change']) input.addEventListener(kind, () => changed(name));
    return h('div', { class: 'field' }, h('label', { for: id }, label), input, note ? h('p', { id: `${id}-note`, class: 'hint' }, note) : null, message);
  }

  const title = h('h2', { id: 'budget-title' }, budget ? 'Edit the budget' : 'New budget');
  const effect = h('p', { id: 'budget-effect', class: 'hint' },
    'Earlier use in the window counts. Until that is counted, a new budget admits no call, for about a second per million calls.');
  const fields = h('div', { class: 'fields' }, FIELDS.map(field));
  const failure = h('p', { class: 'failure', role: 'alert', hidden: true, 'data-testid': 'budget-form-error' });
  const force = h('input', { id: 'budget-force', type: 'checkbox', 'data-testid': 'budget-force' });
  const anyway = h('label', { class: 'check', hidden: true }, force, h('span', null, 'Set it anyway'));
  const cancel = button('Cancel', { 'data-testid': 'budget-cancel', on: { click: () => dialog.close() } });
  const save = h('button', { type: 'submit', class: 'primary', 'data-testid': 'budget-save' }, 'Save');
  const form = h('form', { class: 'budget-form', novalidate: true }, fields, failure, anyway, h('div', { class: 'actions end' }, cancel, save));
  const dialog = h('dialog', { class: 'confirm', 'data-testid': 'budget-dialog', 'aria-labelledby': 'budget-title', 'aria-describedby': 'budget-effect' },
    title, effect, form);

  const values = () => Object.fromEntries([...inputs].map(([name, input]) => [name, input.value.trim()]));

  function say(name, message) {
    text(messages.get(name), message ?? '');
    show(messages.get(name), Boolean(message));
    attr(inputs.get(name), 'aria-invalid', message ? 'true' : null);
  }

  const focusWrong = () => [...inputs.values()].find((input) => input.hasAttribute('aria-invalid'))?.focus();

  /** Agreement to end a run holds for the budget that the server was asked for, not for another. */
  function withdraw() {
    force.checked = false;
    show(anyway, false);
    show(failure, false);
  }

  /** The deployment has no key. */
  function setKeyed() {
    const whole = inputs.get('scope').value === 'deployment';
    attr(inputs.get('key'), 'disabled', whole);
    if (whole) say('key', null);
  }

  function changed(name) {
    say(name, null);
    if (name === 'scope') setKeyed();
    if (name !== 'reason') withdraw();
  }

  function fail(error) {
    const errors = error.errors ?? [];
    for (const { field: name, message } of errors) if (inputs.has(name)) say(name, sentence(message));
    // A message shown at its field is not repeated below.
    const placed = errors.length > 0 && errors.every(({ field: name }) => inputs.has(name));
    text(failure, error.message);
    show(failure, !placed);
    // Of all conflicts, only that with a running run can be forced.
    const forcible = error.status === 409 && /\bforce\b/.test(error.message);
    show(anyway, forcible);
    if (forcible) force.focus();
    else focusWrong();
    if (!dialog.open) app.toast.failed(`Budget: ${error.message}`);
  }

  async function submit() {
    const given = values();
    const taken = budget ? [] : (app.store.get('budgets')?.items ?? []).map(({ id }) => id);
    const wrong = check(given, taken);
    for (const name of inputs.keys()) say(name, wrong[name]);
    show(failure, false);
    if (Object.keys(wrong).length) return focusWrong();
    save.disabled = true;
    try {
      const answer = await app.api.write(`budgets/${encodeURIComponent(given.id)}`, bodyOf(given, force.checked), 'PUT');
      dialog.close();
      app.toast.done(`Budget ${answer.id} saved.`);
    } catch (error) {
      fail(error);
    } finally {
      save.disabled = false;
    }
    return app.feeds.refresh('budgets');
  }

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    if (!save.disabled) submit();
  });
  dialog.addEventListener('close', () => dialog.remove());
  setKeyed();
  document.body.append(dialog);
  dialog.showModal();
  inputs.get(budget ? 'hard' : 'id').focus();
}
