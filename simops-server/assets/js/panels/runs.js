/** The registry of runs, newest first; a row opens to its metadata and its report. */

import { button, h, keyed, show, text } from '../dom.js';
import { duration, fullTime, setTime, words } from '../format.js';
import { panel } from '../panel.js';
import { facts, pill, setPill } from '../parts.js';
import { labelsText } from '../rules.js';
import { showReport } from '../run-report.js';

const DETAILS = [
  ['started_by', 'Started by'], ['start_reason', 'Start reason'], ['ended_at', 'Ended'], ['end_reason', 'End reason'],
  ['run_class', 'Run class'], ['condition_name', 'Condition'], ['hypothesis_id', 'Hypothesis'], ['season_id', 'Season ID'],
  ['season_number', 'Season number'], ['group_id', 'Group'], ['labels', 'Labels'], ['parent_run_id', 'Parent run'], ['mirror_control_run_id', 'Mirror of run'],
  ['carryover_agent_count', 'Agents carried over'], ['fresh_agent_count', 'New agents'],
  ['protocol_version', 'Protocol'], ['deviation_reason', 'Protocol deviation'],
  ['transfer_policy_version', 'Transfer policy'], ['epoch_id', 'Epoch ID'], ['host', 'Host'], ['world', 'World'], ['world_epoch', 'World epoch'],
];
const ENDS = { operator: 'stopped', guardrail: 'guardrail', world_reset: 'world reset' };

/** The panel. */
export function runsPanel(app) {
  return panel(app, { id: 'runs', title: 'Runs', topic: 'runs', also: ['tick'] }, (body) => {
    const list = h('ul', { class: 'rows' });
    const none = h('p', { class: 'empty' }, 'No run has been started yet.');
    const older = button('Show older', { class: 'quiet', 'data-testid': 'runs-older', on: { click: more } });
    body.append(h('div', { class: 'tail', tabindex: '0', role: 'group', 'aria-label': 'Runs, newest first' }, list, none, h('div', { class: 'actions' }, older)));

    /** The registry is short compared with the event log, so a longer page is requested as a whole. */
    function more() {
      app.store.put('runs_shown', Math.min(500, app.store.get('runs').items.length + 50));
      app.feeds.refresh('runs');
    }

    const parts = new WeakMap();

    function create(run) {
      const state = pill();
      const started = h('time');
      const lasted = h('span', { class: 'figure' });
      const details = facts(DETAILS);
      const node = h(
        'li',
        { 'data-run': run.run_id },
        h('details', null,
          h('summary', null,
            h('span', { class: 'mono key' }, run.run_id), state,
            h('span', { class: 'hint' }, words(run.mode), ' · ', started, ' · ', lasted)),
          details.list,
          h('div', { class: 'actions' }, button('Report', { 'data-testid': `report-${run.run_id}`, on: { click: () => showReport(app, run.run_id) } }))),
      );
      parts.set(node, { state, started, lasted, details });
      return node;
    }

    function update(node, run) {
      const { state, started, lasted, details } = parts.get(node);
      const open = !run.ended_at;
      setPill(state, open ? 'running' : run.ended_by === 'guardrail' ? 'guardrail' : 'ended', open ? 'open' : ENDS[run.ended_by] ?? 'ended');
      setTime(started, run.started_at);
      const end = open ? app.store.now() : Date.parse(run.ended_at);
      text(lasted, duration(end - Date.parse(run.started_at)));
      const shown = { ...run, ended_at: run.ended_at && fullTime(run.ended_at), labels: labelsText(run.labels) || null };
      for (const [key] of DETAILS) {
        details.set(key, shown[key]);
        show(details.node(key).parentElement, shown[key] !== null && shown[key] !== undefined);
      }
    }

    return (page) => {
      keyed(list, page.items, (run) => run.run_id, create, update);
      show(none, page.items.length === 0);
      show(older, Boolean(page.next_cursor) && page.items.length < 500);
    };
  });
}
