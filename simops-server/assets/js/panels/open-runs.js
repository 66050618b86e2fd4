/** Every open run: its state, host and spending, and the controls of that run alone and of all. */

import { attr, button, h, keyed, show, text } from '../dom.js';
import { bothTimes, count, duration, plural, usd, words } from '../format.js';
import { panel } from '../panel.js';
import { pill, setPill } from '../parts.js';
import { labelsText } from '../rules.js';

const HEADS = ['Run', 'State', 'Controls'];
/** The limits of a run as text, and the one that it has reached. */
function limitsText(run) {
  const of = Object.entries(run.limits ?? {}).filter(([name]) => name !== 'at_limit');
  const limits = of.map(([name, value]) => `${words(name)} ${name === 'max_usd' ? usd(value) : count(value)}`).join(', ');
  return run.limit_reached ? `${limits}: ${words(run.limit_reached)} is reached` : limits;
}

const QUIET = 'New turns and model calls end within a second; calls in flight finish.';

/** What is asked before each control, and where it is sent. */
const CONTROLS = {
  pause: { label: 'Pause', path: 'control/pause', effects: [QUIET, 'The run stays open; Resume continues it.'], done: 'Paused.' },
  resume: { label: 'Resume', path: 'control/resume', effects: ['Agents begin to take turns and may call paid models, within the budget.'], done: 'Run resumed.' },
  stop: { label: 'Stop', path: 'control/run/stop', danger: true, effects: [QUIET, 'The run ends for good: it can be neither resumed nor started again.'], done: 'Run stopped.' },
};
const OF_ALL = {
  'pause-all': { label: 'Pause all', path: 'control/pause-all', title: 'Pause every open run?', effects: [QUIET, 'The runs stay open.'] },
  'stop-all': { label: 'Stop all', path: 'control/stop-all', danger: true, title: 'Stop every open run?', effects: [QUIET, 'The runs end for good: they can be neither resumed nor started again.'] },
};

/** The panel. */
export function openRunsPanel(app) {
  return panel(app, { id: 'open-runs', title: 'Open Runs', topic: 'status', also: ['tick'] }, (body, tools) => {
    const rows = h('tbody');
    const table = h(
      'table',
      null,
      h('thead', null, h('tr', null, HEADS.map((label) => h('th', { scope: 'col' }, label)))),
      rows,
    );
    const scroll = h('div', { class: 'scroll-x tall', tabindex: '0', role: 'group', 'aria-label': 'Open runs' }, table);
    const none = h('p', { class: 'empty' }, 'No run is open.');
    const failure = h('p', { class: 'failure', role: 'alert', hidden: true, 'data-testid': 'open-runs-error' });
    const all = new Map();
    for (const [id, control] of Object.entries(OF_ALL)) {
      const node = button(control.label, { class: control.danger ? 'danger-quiet' : 'quiet', 'data-testid': id, on: { click: () => actOnAll(control) } });
      all.set(id, node);
      tools.append(node);
    }
    body.append(failure, scroll, none);
    const parts = new WeakMap();

    /** Confirms, sends the request and refreshes the status. */
    async function act(path, question, sent, done) {
      show(failure, false);
      const agreed = await app.confirm({ ...question, askReason: true });
      if (!agreed) return;
      try {
        const answer = await app.api.write(path, { ...sent, ...(agreed.reason && { reason: agreed.reason }) });
        app.toast.done(done(answer));
      } catch (error) {
        text(failure, error.message);
        show(failure, true);
      }
      await app.feeds.refresh('status');
    }

    function actOnAll({ label, path, title, effects, danger }) {
      const runs = app.store.get('status')?.open_runs ?? [];
      const facts = [['Runs', runs.map((run) => run.run_id).join(', ')]];
      const done = (answer) => `${label}: ${answer.runs.filter((run) => run.changed).length} of ${answer.runs.length} runs changed.`;
      act(path, { title, effects, facts, danger, ok: label }, {}, done);
    }

    function actOn(runId, { label, path, effects, danger, done }) {
      const question = { title: `${label} this run?`, effects, facts: [['Run', runId]], danger, ok: label };
      act(path, question, { run_id: runId }, () => done);
    }

    function create(run) {
      const cells = { name: h('span', { class: 'mono' }), state: pill(), buttons: {} };
      for (const name of ['about', 'used', 'limits']) cells[name] = h('div', { class: 'hint' });
      for (const [id, control] of Object.entries(CONTROLS)) {
        cells.buttons[id] = button(control.label, {
          class: control.danger ? 'danger-quiet' : 'quiet',
          'data-testid': `${id}-${run.run_id}`,
          'aria-label': `${control.label} ${run.run_id}`,
          on: { click: () => actOn(run.run_id, control) },
        });
      }
      const node = h(
        'tr',
        { 'data-run': run.run_id },
        h('th', { scope: 'row' }, cells.name, cells.about, cells.used, cells.limits),
        h('td', null, cells.state),
        h('td', null, h('div', { class: 'actions' }, Object.values(cells.buttons))),
      );
      parts.set(node, cells);
      return node;
    }

    function update(node, run, status) {
      const cells = parts.get(node);
      text(cells.name, run.run_id);
      const host = run.host ?? `any of world ${run.world}`;
      const about = [run.is_current && 'current', run.mode, host, run.group_id, labelsText(run.labels)].filter(Boolean);
      text(cells.about, about.join(' · '));
      const { active_seconds: seconds, actions, calls, usd: cost } = run.spent;
      text(cells.used, [`${duration(seconds * 1_000)} active`, plural(actions, 'action'), plural(calls, 'call'), usd(cost)].join(' · '));
      text(cells.limits, limitsText(run));
      show(cells.limits, Boolean(run.limits));
      attr(cells.name, 'title', `Started ${bothTimes(run.started_at)}`);
      setPill(cells.state, run.run_state, words(run.run_state));
      const live = run.hosts.filter((known) => known.state !== 'lost').length;
      attr(cells.state, 'title', `${plural(live, 'host')} live of ${run.hosts.length} known`);
      const locked = !status.admin_write_enabled;
      const stoppable = !locked || status.admin_write_gate === 'stop_only';
      // One that has ended is shown until its hosts have left it.
      const ended = run.run_state === 'stopping';
      show(cells.buttons.pause, !ended && !run.paused);
      show(cells.buttons.resume, !ended && run.paused);
      show(cells.buttons.stop, !ended);
      attr(cells.buttons.pause, 'disabled', !stoppable);
      attr(cells.buttons.resume, 'disabled', locked);
      attr(cells.buttons.stop, 'disabled', !stoppable);
    }

    return (status) => {
      const runs = status.open_runs ?? [];
      show(scroll, runs.length > 0);
      show(none, runs.length === 0);
      const stoppable = status.admin_write_enabled || status.admin_write_gate === 'stop_only';
      attr(all.get('pause-all'), 'disabled', !stoppable || runs.every((run) => run.paused));
      attr(all.get('stop-all'), 'disabled', !stoppable || runs.length === 0);
      keyed(rows, runs, (run) => run.run_id, create, (node, run) => update(node, run, status));
    };
  });
}
