/** The run controls: start, pause, resume, stop and reset, with confirmation, and the state that hosts have confirmed. */

import { confirmed, progress, whyNot } from '../allowed.js';
import { attr, button, h, keyed, show, text } from '../dom.js';
import { duration, words } from '../format.js';
import { panel } from '../panel.js';
import { checkReason } from '../rules.js';
import { ACTIONS } from './actions.js';
import { runForm } from './run-form.js';

const call = (any, argument) => (typeof any === 'function' ? any(argument) : any);

/** The panel. */
export function controlsPanel(app) {
  return panel(app, { id: 'controls', title: 'Run Controls', topic: 'status', also: ['tick'] }, (body) => {
    const form = runForm(app);
    const line = h('p', { class: 'run-line', 'data-testid': 'run-line' });
    const step = h('p', { class: 'progress', role: 'status', 'data-testid': 'progress' });
    const reason = h('input', {
      id: 'run-reason', type: 'text', autocomplete: 'off', 'data-testid': 'run-reason',
      placeholder: 'why, for the audit trail', 'aria-describedby': 'run-reason-message',
    });
    const reasonMessage = h('p', { id: 'run-reason-message', class: 'field-message', hidden: true });
    const clear = h('input', { id: 'clear-run-id', type: 'checkbox', 'data-testid': 'clear-run-id' });
    const resetWorld = h('input', { id: 'reset-world', type: 'checkbox', 'data-testid': 'reset-world' });
    const resetNote = h('span', { class: 'hint' });
    const failure = h('p', { class: 'failure', role: 'alert', 'data-testid': 'controls-error', hidden: true });
    const buttons = new Map();
    let pending = null;
    let defaultsSet = false;

    for (const action of ACTIONS) {
      const tone = action.danger ? 'danger-quiet' : action.form ? 'primary' : null;
      const node = button(call(action.label, { viewer_ops: {} }), {
        class: tone, 'data-testid': action.id,
        on: { click: () => perform(action) },
      });
      buttons.set(action.id, node);
    }
    const row = (ids, ...more) => h('div', { class: 'actions' }, ids.map((id) => buttons.get(id)), more);
    const runIds = ['pause', 'resume', 'stop', 'degrade', 'reset'];
    const startIds = ['start-test', 'start-real'];
    const whyRun = h('ul', { class: 'why' });
    const whyStart = h('ul', { class: 'why' });

    body.append(
      h('div', { class: 'run-now' }, line, step),
      h('div', { class: 'field' }, h('label', { for: 'run-reason' }, 'Run reason'), reason, reasonMessage),
      failure,
      row(['pause', 'resume', 'stop'], h('label', { class: 'check' }, clear, h('span', null, 'Clear run ID'))),
      row(['degrade', 'reset']),
      whyRun,
      form.set,
      h('label', { class: 'check' }, resetWorld, h('span', null, 'Reset + reseed world before test start'), resetNote),
      row(startIds),
      whyStart,
    );

    /** One line per reason, naming the controls that it disables. */
    function explain(list, ids, reasons, status) {
      const groups = new Map();
      for (const id of ids) {
        if (reasons[id]) groups.set(reasons[id], [...(groups.get(reasons[id]) ?? []), id]);
      }
      const label = (id) => call(ACTIONS.find((action) => action.id === id).label, status);
      keyed(list, [...groups], ([why]) => why, () => h('li'), (node, [why, held]) => {
        // A disabled button is described by its reason.
        attr(node, 'id', `why-${held[0]}`);
        for (const id of held) attr(buttons.get(id), 'aria-describedby', `why-${held[0]}`);
        text(node, held.length === ids.length ? why : `${held.map(label).join(', ')}: ${why}`);
      });
    }

    function patch(status) {
      const production = status.environment === 'production';
      if (!defaultsSet) {
        resetWorld.checked = !production;
        defaultsSet = true;
      }
      attr(resetWorld, 'disabled', production);
      if (production) resetWorld.checked = false;
      text(resetNote, production ? 'Blocked in production.' : '');

      const reasons = whyNot(status, { clear: clear.checked, resetWorld: resetWorld.checked, host: form.values().host });
      const waiting = pending && `Waiting for the server: ${pending}.`;
      for (const action of ACTIONS) {
        const node = buttons.get(action.id);
        const held = waiting || reasons[action.id];
        if (held && document.activeElement === node) body.closest('section').focus({ preventScroll: true });
        text(node, call(action.label, status));
        attr(node, 'disabled', Boolean(held));
        attr(node, 'title', held || null);
        attr(node, 'aria-describedby', null);
      }
      explain(whyRun, runIds, reasons, status);
      explain(whyStart, startIds, reasons, status);
      form.setLoadable(Boolean(status.run_metadata));

      const run = status.run_metadata;
      text(line, runLine(run, status));
      attr(line, 'title', line.textContent);
      text(step, waiting || progress(status) || confirmed(status));
      attr(step, 'data-busy', waiting || progress(status) ? 'true' : null);
    }

    function runLine(run, status) {
      if (!run) return 'No run yet. Start one; every field is optional.';
      const kind = `${words(run.mode)} run ${run.run_id}`;
      if (!run.ended_at) {
        const since = duration(app.store.now() - Date.parse(run.started_at));
        return `${kind}, open for ${since}${status.viewer_ops.simulation_paused ? ', paused' : ''}.`;
      }
      const by = { guardrail: 'was stopped by a guardrail', world_reset: 'ended by a world reset' };
      const end = `${kind} ${by[run.ended_by] ?? 'was stopped'}: ${run.ended_by === 'guardrail' ? words(run.end_reason).toLowerCase() : run.end_reason ?? 'no reason given'}.`;
      return run.ended_by === 'guardrail' ? `${end} Resume continues it.` : end;
    }

    function sayReason(message) {
      text(reasonMessage, message ?? '');
      show(reasonMessage, Boolean(message));
      attr(reason, 'aria-invalid', message ? 'true' : null);
      if (message) reason.focus();
    }

    const refresh = () => app.store.get('status') && patch(app.store.get('status'));

    async function perform(action) {
      const status = app.store.get('status');
      const why = reason.value.trim();
      sayReason(checkReason(why));
      show(failure, false);
      app.toast.clear();
      if (checkReason(why) || (action.form && !form.ready())) return;
      const context = {
        run: status.run_metadata,
        degraded: status.viewer_ops.force_cheapest_route,
        values: form.values(),
        resetWorld: resetWorld.checked,
        clear: clear.checked,
        reason: why,
      };
      const question = action.ask(context);
      const facts = [...(question.facts ?? []), ['Reason', why || 'none given']];
      if (!(await app.confirm({ ...question, facts, danger: action.danger }))) return;
      pending = call(action.label, status);
      refresh();
      try {
        const sent = action.body ? action.body(context) : why ? { reason: why } : {};
        const answer = await app.api.write(call(action.path, context), sent);
        app.toast.done(action.done(answer));
        reason.value = '';
        clear.checked = false;
        if (action.form) form.started();
      } catch (error) {
        fail(action, error);
      } finally {
        await app.feeds.refresh('status');
        pending = null;
        refresh();
      }
    }

    function fail(action, error) {
      let rest = error.errors ?? [];
      if (action.form) rest = form.reject(rest);
      const ofReason = rest.find(({ field }) => field === 'reason');
      if (ofReason) sayReason(ofReason.message);
      // A message shown at its field is not repeated above.
      const placed = error.errors?.length > 0 && rest.every(({ field }) => field === 'reason');
      text(failure, error.message);
      show(failure, !placed);
      app.toast.failed(`${call(action.label, app.store.get('status'))}: ${error.message}`);
    }

    for (const box of [clear, resetWorld]) box.addEventListener('change', refresh);
    return patch;
  });
}
