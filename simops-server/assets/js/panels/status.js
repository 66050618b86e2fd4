/** The requested settings and the state that hosts have confirmed: clock, mode, run, metadata, usage counter. */

import { attr, h, show, text } from '../dom.js';
import { duration, fullTime, setTime, words, yesNo } from '../format.js';
import { panel } from '../panel.js';
import { facts } from '../parts.js';
import { labelsText } from '../rules.js';
import { hostsTable } from './hosts.js';

const NOW = [
  ['server_time', 'Server time'],
  ['confirmed', 'Confirmed state'],
  ['run_id', 'Run ID', 'mono'],
  ['mode', 'Mode'],
  ['active', 'Simulation active'],
  ['paused', 'Paused'],
  ['route', 'Cheapest route'],
  ['generation', 'Generation'],
  ['counter', 'Usage counter'],
];
const RUN = [
  ['started_at', 'Started'],
  ['started_by', 'Started by'],
  ['ended_at', 'Ended'],
  ['ended_by', 'Ended by'],
  ['run_class', 'Run class'],
  ['condition_name', 'Condition', 'mono'],
  ['hypothesis_id', 'Hypothesis', 'mono'],
  ['season', 'Season'],
  ['group_id', 'Group', 'mono'],
  ['labels', 'Labels', 'mono'],
  ['parent_run_id', 'Parent run', 'mono'],
  ['mirror_control_run_id', 'Mirror of run', 'mono'],
  ['deviation_reason', 'Protocol deviation', 'long'],
  ['protocol_version', 'Protocol', 'mono'],
  ['transfer_policy_version', 'Transfer policy', 'mono'],
  ['epoch_id', 'Epoch ID', 'mono'],
  ['host', 'Host', 'mono'],
  ['world', 'World', 'mono'],
  ['world_epoch', 'World epoch'],
  ['start_reason', 'Start reason', 'long'],
  ['end_reason', 'End reason', 'long'],
];

/** The panel. */
export function statusPanel(app) {
  return panel(app, { id: 'status', title: 'Status', topic: 'status', also: ['tick'] }, (body) => {
    const now = facts(NOW);
    const run = facts(RUN);
    now.list.classList.add('pairs');
    const clock = h('time');
    const started = h('time');
    const ended = h('time');
    now.node('server_time').append(clock);
    run.node('started_at').append(started);
    run.node('ended_at').append(ended);
    const warning = h('p', { class: 'warning', role: 'status', hidden: true });
    const runTitle = h('h3', null, 'Current run');
    const hosts = hostsTable(app);
    run.list.classList.add('pairs');
    body.append(warning, now.list, hosts.node, runTitle, run.list);

    return (status) => {
      const ops = status.viewer_ops;
      const stale = app.store.staleness('status') > 0;
      const at = stale ? status.server_time_utc : new Date(app.store.now()).toISOString();
      setTime(clock, at, fullTime);
      now.set('confirmed', words(status.run_state));
      now.set('run_id', ops.run_id || 'none');
      now.set('mode', ops.run_mode);
      now.set('active', yesNo(ops.simulation_active));
      now.set('paused', yesNo(ops.simulation_paused));
      now.set('route', ops.force_cheapest_route ? 'forced (degraded)' : 'no');
      now.set('generation', status.generation);
      const counter = status.counter ?? {};
      now.set('counter', counter.degraded ? `${counter.backend} (degraded)` : counter.backend);
      show(warning, Boolean(counter.degraded));
      if (counter.degraded) {
        const since = counter.since ? ` since ${fullTime(counter.since)}` : '';
        text(warning, `The usage counter is degraded${since}; the database counts instead. ${counter.last_error ?? ''}`);
      }

      hosts.set(status);
      const row = status.run_metadata && { ...status.run_metadata, labels: labelsText(status.run_metadata.labels) };
      show(runTitle, Boolean(row));
      show(run.list, Boolean(row));
      if (!row) return;
      for (const [key] of RUN) {
        if (!['started_at', 'ended_at', 'season'].includes(key)) run.set(key, row[key]);
        // Empty metadata is hidden; the start time is always shown.
        const given = key === 'season' ? row.season_id ?? row.season_number : row[key];
        show(run.node(key).parentElement, given !== null && given !== undefined && given !== '');
      }
      if (row.ended_by === 'guardrail') run.set('end_reason', words(row.end_reason));
      for (const key of ['start_reason', 'end_reason']) attr(run.node(key), 'title', run.node(key).textContent);
      run.set('season', [row.season_id, row.season_number && `no. ${row.season_number}`].filter(Boolean).join(', '));
      setTime(started, row.started_at, fullTime);
      setTime(ended, row.ended_at, (iso) => {
        return iso ? `${fullTime(iso)} (after ${duration(Date.parse(iso) - Date.parse(row.started_at))})` : '–';
      });
    };
  });
}
