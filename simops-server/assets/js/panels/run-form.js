/** The fields of a new run, each with its validation message. */

import { attr, button, h, show, text } from '../dom.js';
import { FIELDS, check, labelsText } from '../rules.js';

/** The form's fields and their values. */
export function runForm(app) {
  const inputs = new Map();
  const messages = new Map();
  const touched = new Set();
  let fromServer = {};
  const parents = h('datalist', { id: 'known-runs' });
  const load = button('Load current', { class: 'quiet', 'data-testid': 'load-current' });

  function field({ name, label, max, hint, options, number, prose }) {
    const id = `field-${name}`;
    const testid = name === 'run_id' ? 'run-id' : id;
    const shared = { id, 'data-testid': testid, 'aria-describedby': `${id}-message` };
    const input = options
      ? h('select', shared, options.map((option) => h('option', { value: option }, option)))
      : h(prose ? 'textarea' : 'input', {
          ...shared,
          type: prose ? null : 'text',
          rows: prose ? 2 : null,
          autocomplete: 'off',
          autocapitalize: 'none',
          spellcheck: 'false',
          placeholder: hint ?? null,
          inputmode: number ? 'numeric' : null,
          list: name === 'parent_run_id' || name === 'mirror_control_run_id' ? 'known-runs' : null,
          class: max ? 'mono' : null,
        });
    const message = h('p', { id: `${id}-message`, class: 'field-message', hidden: true });
    inputs.set(name, input);
    messages.set(name, message);
    input.addEventListener('input', () => {
      delete fromServer[name];
      validate();
    });
    input.addEventListener('blur', () => {
      touched.add(name);
      validate();
    });
    return h('div', { class: 'field' }, h('label', { for: id }, label), input, message);
  }

  const set = h(
    'div',
    { class: 'run-form', role: 'group', 'aria-labelledby': 'new-run' },
    h('div', { class: 'split' }, h('h3', { id: 'new-run' }, 'New run'), load),
    h('div', { class: 'fields' }, FIELDS.map(field)),
    parents,
  );

  const values = () => Object.fromEntries([...inputs].map(([name, input]) => [name, input.value.trim()]));

  /** Shows the validation messages of touched fields; true when every field is valid. */
  function validate() {
    const wrong = check(values());
    for (const [name, input] of inputs) {
      const shown = touched.has(name) || name === 'season_number' ? wrong[name] : null;
      const message = fromServer[name] ?? shown ?? '';
      text(messages.get(name), message);
      show(messages.get(name), Boolean(message));
      attr(input, 'aria-invalid', message ? 'true' : null);
    }
    return Object.keys(wrong).length === 0;
  }

  load.addEventListener('click', () => {
    const run = app.store.get('status')?.run_metadata;
    if (!run) return;
    fromServer = {};
    for (const [name, input] of inputs) {
      const value = name === 'labels' ? labelsText(run.labels) : run[name];
      if (name !== 'run_id') input.value = value ?? (name === 'run_class' ? 'standard_72h' : '');
    }
    validate();
    app.toast.done(`Loaded the metadata of ${run.run_id}. The run ID is left as it is: ids are not used twice.`);
  });

  app.store.on('runs', ({ data }) => {
    const ids = (data?.items ?? []).map((run) => run.run_id);
    parents.replaceChildren(...ids.map((id) => h('option', { value: id })));
  });

  return {
    set,
    values,

    /** Checks every field; focuses the first invalid one. */
    ready() {
      for (const name of inputs.keys()) touched.add(name);
      if (validate()) return true;
      [...inputs.values()].find((input) => input.hasAttribute('aria-invalid'))?.focus();
      return false;
    },

    /** Shows the server's messages at their fields; returns those of other fields. */
    reject(errors) {
      fromServer = {};
      for (const { field: name, message } of errors) if (inputs.has(name)) fromServer[name] = message;
      validate();
      [...inputs.values()].find((input) => input.hasAttribute('aria-invalid'))?.focus();
      return errors.filter(({ field: name }) => !inputs.has(name));
    },

    /** Clears the run ID for the next run. */
    started() {
      inputs.get('run_id').value = '';
      fromServer = {};
      touched.clear();
      validate();
    },

    /** Whether there is a run to load from. */
    setLoadable: (yes) => attr(load, 'disabled', !yes),
  };
}
