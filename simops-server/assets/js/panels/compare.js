/** Compares two runs: metadata, activity, and cost efficiency. */

import { button, h, keyed, show, text } from '../dom.js';
import { count, duration, fullTime, number, usd, words } from '../format.js';
import { panel } from '../panel.js';

const lasted = ({ run }) => duration((run.ended_at ? Date.parse(run.ended_at) : Date.now()) - Date.parse(run.started_at));
const meta = (field) => ({ run }) => run[field] ?? null;
const sum = (group, field) => ({ metrics }) => metrics[group][field];

/** Label, value, format; numbers also show their difference. */
const ROWS = [
  ['Mode', meta('mode')], ['Run class', meta('run_class')], ['Condition', meta('condition_name')],
  ['Hypothesis', meta('hypothesis_id')], ['Season', meta('season_number')], ['Protocol', meta('protocol_version')],
  ['Parent run', meta('parent_run_id')], ['Transfer policy', meta('transfer_policy_version')],
  ['Started', ({ run }) => fullTime(run.started_at)], ['Lasted', lasted], ['End', meta('end_reason')],
  ['Model calls', sum('llm', 'calls'), count], ['Answered', sum('llm', 'success_calls'), count],
  ['Degraded or fallback', sum('llm', 'fallback_calls'), count], ['Tokens', sum('llm', 'total_tokens'), count],
  ['Cost', sum('llm', 'estimated_cost_usd'), usd],
  ['Model actions', sum('activity', 'checkpoint_actions'), count], ['Rule actions', sum('activity', 'deterministic_actions'), count],
  ['Forum messages', sum('activity', 'forum_messages'), count], ['Proposals', sum('governance', 'proposals_created'), count],
  ['Votes', sum('governance', 'votes_cast'), count],
];

/** Report figures that the rows above already show. */
const SHOWN = ['duration_seconds', 'cost_usd', 'calls', 'fallback_calls'];

/** Rows for the remaining report figures. */
const ofReports = ({ metrics }) =>
  metrics
    .filter(({ metric }) => !SHOWN.includes(metric))
    .map(({ metric, a, b }) => [words(metric), [a, b], metric.endsWith('_usd') ? usd : number]);

function change(a, b, write) {
  if (typeof a !== 'number' || typeof b !== 'number' || !write) return a === b ? '' : 'differs';
  if (a === b) return '=';
  const share = a === 0 ? '' : ` (${b > a ? '+' : '−'}${Math.abs(((b - a) / a) * 100).toFixed(0)} %)`;
  return `${b > a ? '+' : '−'}${write(Math.abs(b - a))}${share}`;
}

/** The panel. */
export function comparePanel(app) {
  return panel(app, { id: 'compare', title: 'Compare Runs', topic: 'runs' }, (body) => {
    const picks = ['a', 'b'].map((side) =>
      h('select', { id: `compare-${side}`, 'data-testid': `compare-${side}`, on: { change: () => say('') } }));
    const go = button('Compare', { class: 'primary', 'data-testid': 'compare', on: { click: compare } });
    const failure = h('p', { class: 'failure', role: 'alert', hidden: true });
    const heads = [h('th', { scope: 'col' }), h('th', { scope: 'col' })];
    const rows = h('tbody');
    const table = h('div', { class: 'scroll-x', tabindex: '0', role: 'group', 'aria-label': 'Comparison', hidden: true, 'data-testid': 'comparison' },
      h('table', { class: 'compare' },
        h('thead', null, h('tr', null, h('th', { scope: 'col' }, h('span', { class: 'sr' }, 'Figure')), heads, h('th', { scope: 'col' }, 'Second to first'))), rows));
    const few = h('p', { class: 'empty' }, 'Two runs are needed to compare.');
    const form = h('div', { class: 'compare-form' },
      h('div', { class: 'field' }, h('label', { for: 'compare-a' }, 'First run'), picks[0]),
      h('div', { class: 'field' }, h('label', { for: 'compare-b' }, 'Second run'), picks[1]), go);
    body.append(few, form, failure, table);

    function say(message) {
      text(failure, message);
      show(failure, Boolean(message));
    }

    async function compare() {
      const ids = picks.map((pick) => pick.value);
      if (ids[0] === ids[1]) return say('Choose two different runs.');
      say('');
      go.disabled = true;
      try {
        const [a, b] = ids.map(encodeURIComponent);
        const [compared, ...both] = await Promise.all([
          app.api.get(`run/compare?a=${a}&b=${b}`),
          ...[a, b].map(async (id) => {
            const metrics = await app.api.get(`run/metrics?run_id=${id}`);
            return { run: metrics.run_metadata, metrics };
          }),
        ]);
        draw(both, [...ROWS.map(([label, of, write]) => [label, both.map(of), write]), ...ofReports(compared)]);
      } catch (error) {
        say(error.message);
      } finally {
        go.disabled = false;
      }
      return undefined;
    }

    function draw(both, figures) {
      heads.forEach((head, n) => text(head, both[n].run.run_id));
      rows.replaceChildren(...figures.map(([label, [a, b], write]) => {
        if (a === null && b === null) return null;
        const shown = [a, b].map((value) => (value === null ? '–' : write ? write(value) : String(value)));
        return h('tr', { 'data-differs': a === b ? null : 'true' }, h('th', { scope: 'row' }, label),
          shown.map((value) => h('td', { class: 'figure' }, value)), h('td', { class: 'figure' }, change(a, b, write)));
      }).filter(Boolean));
      show(table, true);
    }

    return ({ items }) => {
      show(few, items.length < 2);
      show(form, items.length >= 2);
      picks.forEach((pick, n) => {
        const chosen = pick.value;
        keyed(pick, items, (run) => run.run_id, (run) => h('option', { value: run.run_id }, run.run_id));
        const kept = items.some((run) => run.run_id === chosen);
        pick.value = kept && chosen ? chosen : items[Math.min(1 - n, items.length - 1)]?.run_id ?? '';
      });
    };
  });
}
