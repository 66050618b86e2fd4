/** How far each stop condition is from ending the run. */

import { attr, h, keyed, show, text } from '../dom.js';
import { number, percent, usd, words } from '../format.js';
import { panel } from '../panel.js';
import { bar, pill, setPill, toneOf } from '../parts.js';

/** What a condition is called and what its figures are ; one not known here is shown by its name in plain numbers. */
const UNITS = {
  hard_budget_exceeded: { label: 'Hard budget', first: usd, noun: 'today' },
  provider_failures_repeated: { label: 'Provider failures', noun: 'failed calls', second: percent, both: 'of all calls' },
  db_pool_pressure: { label: 'Database pool', first: percent, noun: 'in use', both: 'checks in a row' },
};

const listOf = (guardrails) =>
  Array.isArray(guardrails)
    ? guardrails
    : Object.entries(guardrails ?? {}).map(([condition, figures]) => ({ condition, ...figures }));

/** A second figure keeps the first from tripping alone: the smaller share is how near the stop is. */
function nearness(row) {
  const share = row.threshold > 0 ? row.observed / row.threshold : 0;
  const second = row.second_threshold > 0 ? row.second_observed / row.second_threshold : 1;
  return Math.min(share, second);
}

function stateOf(row) {
  if (row.enabled === false) return 'off';
  if (row.tripped) return 'tripped';
  return nearness(row) >= 0.85 ? 'near' : 'ok';
}

/** The panel. */
export function guardrailsPanel(app) {
  return panel(app, { id: 'guardrails', title: 'Guardrails', topic: 'status' }, (body) => {
    const trip = h('p', { class: 'warning', hidden: true, 'data-testid': 'last-trip' });
    const list = h('ul', { class: 'plain' });
    const none = h('p', { class: 'empty' }, 'The server reports no stop conditions.');
    body.append(trip, list, none);
    const parts = new WeakMap();

    function create({ condition }) {
      const state = pill();
      const figure = h('span', { class: 'figure' });
      const more = h('p', { class: 'hint' });
      const label = UNITS[condition]?.label ?? words(condition);
      const meter = bar(label);
      const head = h('span', { class: 'with-pill' }, h('span', { title: condition }, label), state);
      const node = h('li', { class: 'meter-row', 'data-condition': condition }, head, figure, meter.svg, more);
      parts.set(node, { state, figure, more, meter });
      return node;
    }

    function update(node, row) {
      const { state, figure, more, meter } = parts.get(node);
      const unit = UNITS[row.condition] ?? {};
      const first = unit.first ?? number;
      const now = stateOf(row);
      setPill(state, now);
      attr(node, 'data-off', now === 'off' ? 'true' : null);
      const figures = `${first(row.observed)} of ${first(row.threshold)} ${unit.noun ?? ''}`.trim();
      text(figure, figures);
      const tone = now === 'off' ? 'plain' : row.tripped ? 'bad' : toneOf(Math.min(nearness(row), 0.99));
      meter.set({ value: row.observed, max: row.threshold, tone, words: `${figures}, ${now}` });
      const second = unit.second ?? number;
      const has = row.second_threshold !== null && row.second_threshold !== undefined;
      show(more, has);
      if (has) text(more, `and ${second(row.second_observed)} of ${second(row.second_threshold)} ${unit.both ?? ''}`);
    }

    return (status) => {
      const rows = listOf(status.guardrails);
      keyed(list, rows, (row) => row.condition, create, update);
      show(none, rows.length === 0);
      const run = status.run_metadata;
      const stopped = run?.ended_by === 'guardrail';
      show(trip, stopped);
      if (stopped) text(trip, `${words(run.end_reason)}: run ${run.run_id} was stopped. Its event has the figures.`);
    };
  });
}
