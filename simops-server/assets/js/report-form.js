/**
 * Shared by report forms: number fields with bounds, fields that select runs, a submit button with the reason it is
 * disabled, an error line.
 */

import { attr, button, h, show, text } from './dom.js';
import { labelsText, parseLabels } from './rules.js';

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

/**
 * Fields that select runs by id, group and labels. `read()` returns the fields of a request, or null after showing a
 * validation message.
 */
export function runsFields(id) {
  const field = (name, label, placeholder) => {
    const message = h('p', { id: `${id}-${name}-message`, class: 'field-message', hidden: true });
    const input = h('input', {
      id: `${id}-${name}`, 'data-testid': `${id}-${name}`, type: 'text', autocomplete: 'off', class: 'mono',
      placeholder, 'aria-describedby': `${id}-${name}-message`,
    });
    return { input, message, node: h('div', { class: 'field' }, h('label', { for: `${id}-${name}` }, label), input, message) };
  };
  const [run, group, labels] = [field('run', 'Only run', 'all'), field('group', 'Only group', 'all'), field('labels', 'Only labels', 'seed=3')];

  function say(problem) {
    show(labels.message, Boolean(problem));
    text(labels.message, problem);
    attr(labels.input, 'aria-invalid', problem ? 'true' : null);
  }

  function read() {
    const [run_id, group_id] = [run.input.value.trim(), group.input.value.trim()];
    try {
      const wanted = parseLabels(labels.input.value);
      say('');
      return { ...(run_id && { run_id }), ...(group_id && { group_id }), ...(Object.keys(wanted).length && { labels: wanted }) };
    } catch (error) {
      say(error.message);
      labels.input.focus();
      return null;
    }
  }
  labels.input.addEventListener('input', () => say(''));
  return { node: h('div', { class: 'compare-form' }, run.node, group.node, labels.node), read };
}

/** Which runs a report covers, in words; empty when it covers everything. */
export function coveredRuns(runs) {
  if (!runs) return '';
  const by = [runs.run_id && `run ${runs.run_id}`, runs.group_id && `group ${runs.group_id}`, labelsText(runs.labels)].filter(Boolean);
  return `Covers only ${by.join(', ')}: ${runs.selected} ${runs.selected === 1 ? 'run' : 'runs'}, ${runs.open} open.`;
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
      const fields = (error.errors ?? []).map(({ field, message }) => `${field} ${message}`).join('; ');
      text(failure, fields ? `${error.message} (${fields})` : error.message);
      show(failure, true);
    } finally {
      busy = false;
      const status = app.store.get('status');
      if (status) hold(status);
    }
  }

  return { node: h('div', { class: 'actions' }, go, why), failure, hold };
}
