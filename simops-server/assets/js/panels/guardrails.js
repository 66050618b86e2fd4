/** Stop conditions: distance to the limit, recent history, and the last stop by a guardrail. */

import { chart, clockOf } from '../chart.js';
import { conditionName, distanceOf, figuresOf, nearness, stateOf } from '../conditions.js';
import { attr, h, keyed, show, text } from '../dom.js';
import { count, percent } from '../format.js';
import { panel } from '../panel.js';
import { bar, pill, setPill, toneOf } from '../parts.js';
import { byProvider, fromFirstCall, running, steps, trailing } from '../series.js';
import { spark } from '../spark.js';
import { tripPart } from './trip.js';

/** Values that the ledger does not record are sampled while the page is open. */
const SAMPLE_MS = 5_000;
const SAMPLES = 240;

const listOf = (guardrails) =>
  Array.isArray(guardrails)
    ? guardrails
    : Object.entries(guardrails ?? {}).map(([condition, figures]) => ({ condition, ...figures }));

/** The recent values of a condition: from the ledger where it has them, else from samples. */
function history(row, store, samples) {
  const spend = store.get('spend');
  const calls = store.get('calls');
  if (row.condition === 'hard_budget_exceeded' && spend) {
    return [running(fromFirstCall(steps(spend), 6).map((step) => step.cost)), 'today'];
  }
  if (row.condition === 'provider_failures_repeated' && calls) {
    const minutes = store.get('config')?.effective?.STOP_PROVIDER_FAILURE_WINDOW_MINUTES ?? 15;
    const width = Math.max(1, Math.round((minutes * 60) / calls.step_seconds));
    return [trailing(steps(calls).map((step) => step.failed), width), 'in the last two hours'];
  }
  return [samples, 'since this page was opened'];
}

/** The panel. */
export function guardrailsPanel(app) {
  const also = ['spend', 'calls', 'trip', 'config'];
  return panel(app, { id: 'guardrails', title: 'Guardrails', topic: 'status', also }, (body) => {
    const list = h('ul', { class: 'plain' });
    const none = h('p', { class: 'empty' }, 'The server reports no stop conditions.');
    const trip = tripPart(app);
    const scope = h('span', { class: 'hint' });
    const providers = h('ul', { class: 'providers' });
    const failures = h('div', { class: 'block', 'data-testid': 'provider-failures' },
      h('div', { class: 'split' }, h('h3', null, 'Provider failures'), scope));
    const drawing = chart({
      label: 'Model calls and failures along time',
      height: 104,
      axis: (value) => (Number.isInteger(value) ? count(value) : ''),
      series: [
        { label: 'Calls', colour: '--c1', fill: 0.28, bars: true, width: 0, write: count },
        { label: 'Failed', colour: '--c-bad', fill: 0.9, bars: true, width: 0, write: count },
      ],
      time: (at, long) => (long ? `${clockOf(at)} UTC` : clockOf(at)),
    });
    const silent = h('p', { class: 'empty' }, 'No model was called.');
    failures.append(drawing.node, silent, providers);
    body.append(list, none, failures, trip.node);
    const parts = new WeakMap();
    const samples = new Map();
    let sampled = 0;

    app.store.on('status', ({ data }) => {
      if (!data || Date.now() - sampled < SAMPLE_MS) return;
      sampled = Date.now();
      for (const row of listOf(data.guardrails)) {
        samples.set(row.condition, [...(samples.get(row.condition) ?? []), row.observed].slice(-SAMPLES));
      }
    });

    function create({ condition }) {
      const part = {
        state: pill(),
        figure: h('span', { class: 'figure' }),
        distance: h('span', null),
        second: h('span', { class: 'figure' }),
        meter: bar(conditionName(condition)),
        line: spark(conditionName(condition)),
      };
      const head = h('span', { class: 'with-pill' }, h('span', { title: condition }, conditionName(condition)), part.state);
      const node = h('li', { class: 'guard', 'data-condition': condition },
        h('div', { class: 'split' }, head, part.figure),
        h('div', { class: 'guard-line' }, part.meter.svg, part.line.node),
        h('div', { class: 'split hint' }, part.distance, part.second));
      parts.set(node, part);
      return node;
    }

    function update(node, row) {
      const { state, figure, distance, second, meter, line } = parts.get(node);
      const now = stateOf(row);
      const [first, other] = figuresOf(row);
      setPill(state, now);
      attr(node, 'data-off', now === 'off' ? 'true' : null);
      text(figure, first);
      text(second, other ? `and ${other}` : '');
      text(distance, distanceOf(row));
      const tone = now === 'off' ? 'plain' : row.tripped ? 'bad' : toneOf(Math.min(nearness(row), 0.99));
      meter.set({ value: row.observed, max: row.threshold, tone, words: `${first}, ${now}` });
      const [values, when] = history(row, app.store, samples.get(row.condition) ?? []);
      line.set(values, row.threshold, `${first}, ${when}`);
      attr(line.node, 'data-tone', tone);
    }

    function drawFailures(runId) {
      const { data, error } = app.store.slot('calls');
      const all = data ? steps(data) : [];
      const calls = all.reduce((sum, step) => sum + step.calls, 0);
      text(scope, runId ? 'this run, last 2 h' : 'last 2 h');
      show(drawing.node, calls > 0);
      show(silent, calls === 0);
      text(silent, error && !data ? `Calls could not be loaded: ${error.message}` : 'No model was called in the last 2 h.');
      const drawn = fromFirstCall(all, 20);
      if (calls > 0) drawing.set([drawn.map((s) => s.at), drawn.map((s) => s.calls), drawn.map((s) => s.failed)]);
      keyed(providers, data ? byProvider(data) : [], ({ provider }) => provider,
        ({ provider }) => h('li', null, h('span', null, provider), h('span', { class: 'figure' })),
        (node, row) => text(node.lastChild, `${count(row.failed)} of ${count(row.calls)} failed (${percent(row.failed / row.calls)})`));
    }

    return (status) => {
      const rows = listOf(status.guardrails);
      keyed(list, rows, (row) => row.condition, create, update);
      show(none, rows.length === 0);
      drawFailures(status.run_metadata?.run_id);
      const { data, error } = app.store.slot('trip');
      trip.set(data, error);
    };
  });
}
