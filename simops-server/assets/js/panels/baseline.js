/** Creates a baseline: budget, thresholds, failure rate and emergence metrics of windows that end now. */

import { csv, download } from '../download.js';
import { button, h, show, text } from '../dom.js';
import { breakable, count, fullTime, number, percent, setTime, shortTime, usd, value, words } from '../format.js';
import { panel } from '../panel.js';
import { coveredRuns, maker, numberField, runsFields } from '../report-form.js';

const WINDOW_COLUMNS = [
  ['Window (UTC)', (row) => `${shortTime(row.window_start_utc)} – ${shortTime(row.window_end_utc)}`],
  ['Events', (row) => count(row.total_events)], ['Actions', (row) => count(row.total_actions)],
  ['Types', (row) => count(row.unique_action_types)], ['Entropy, bits', (row) => number(row.action_entropy_bits)],
  ['Top action', (row) => (row.top_action ? `${row.top_action} ${percent(row.top_action_share)}` : '–')],
  ['Top agent', (row) => percent(row.top_agent_share)], ['HHI', (row) => number(row.agent_hhi)],
  ['Governance', (row) => count(row.governance_events)], ['Enforcement', (row) => count(row.enforcement_events)],
  ['Invalid', (row) => count(row.invalid_actions)],
];
const plain = (any) => (typeof any === 'number' ? number(any) : any === null ? 'n/a' : value(any));

/** Label and value of every number of an object, nested ones by path. */
function pairs(object, prefix = '') {
  return Object.entries(object ?? {}).flatMap(([key, any]) =>
    any && typeof any === 'object' && !Array.isArray(any)
      ? pairs(any, `${prefix}${words(key)}, `)
      : [[`${prefix}${prefix ? key.replaceAll('_', ' ') : words(key)}`, plain(any)]]);
}

const list = (rows) => h('dl', { class: 'facts pairs even' }, rows.map(([key, shown]) => h('div', null, h('dt', null, key), h('dd', { class: 'figure' }, shown))));
const fold = (title, open, ...content) => h('details', { class: 'fold', open }, h('summary', null, title), content);

function windowsTable(rows) {
  return h('div', { class: 'scroll-x tall', tabindex: '0', role: 'group', 'aria-label': 'Windows' },
    h('table', null,
      h('thead', null, h('tr', null, WINDOW_COLUMNS.map(([label], n) => h('th', { scope: 'col', class: n ? 'figure' : null }, label)))),
      h('tbody', null, rows.map((row) => h('tr', null, WINDOW_COLUMNS.map(([, write], n) =>
        n ? h('td', { class: 'figure' }, write(row)) : h('th', { scope: 'row', class: 'mono' }, write(row))))))));
}

/** The panel. */
export function baselinePanel(app) {
  return panel(app, { id: 'baseline', title: 'Baseline', topic: 'status' }, (body) => {
    const count_ = numberField({ id: 'baseline-windows', label: 'Windows', min: 1, max: 1000, fallback: 12 });
    const minutes = numberField({ id: 'baseline-minutes', label: 'Minutes each', min: 1, max: 1440, fallback: 5 });
    const runs = runsFields('baseline');
    const go = maker(app, 'Generate baseline', 'baseline-generate', generate);
    const shown = h('div', { class: 'report', hidden: true, 'data-testid': 'baseline-report' });
    body.append(
      h('p', { class: 'hint' }, 'Budget and stop thresholds, today’s counters, recent provider failures and emergence figures of windows that end now. Kept by the server, too.'),
      h('div', { class: 'compare-form' }, count_.node, minutes.node), runs.node, go.node, go.failure, shown);

    async function generate() {
      const [windows, window_minutes] = [count_.read(), minutes.read()];
      if (windows === null) return count_.focus();
      if (window_minutes === null) return minutes.focus();
      const selected = runs.read();
      if (selected === null) return undefined;
      const answer = await app.api.write('baseline', { ...(windows && { windows }), ...(window_minutes && { window_minutes }), ...selected });
      draw(answer);
      app.toast.done('Baseline generated.');
      return undefined;
    }

    function draw(answer) {
      const { metrics = null, thresholds = {}, budget_snapshot: budget = {}, provider_failure_window: failures = {} } = answer;
      const stamp = String(answer.generated_at_utc ?? '').replace(/[^0-9TZ]/g, '').slice(0, 15);
      const when = setTime(h('time'), answer.generated_at_utc, fullTime);
      const rows = metrics?.rows ?? [];
      const covered = coveredRuns(answer.runs);
      const json = (name, content) => () => download(`${name}_${stamp}.json`, `${JSON.stringify(content, null, 2)}\n`, 'application/json');
      const files = h('div', { class: 'actions' },
        button('Download JSON', { 'data-testid': 'baseline-download', on: { click: json('baseline', answer) } }),
        metrics ? button('Download windows as CSV', { on: { click: () => download(`metrics_${stamp}.csv`, csv(rows), 'text/csv') } }) : null);
      const figures = [
        ['Spent today', `${usd(budget.estimated_cost_usd)} of ${usd(budget.hard_cap_usd)}`], ['Calls today', count(budget.calls_total)],
        ...(answer.runs ? [['Cost of these runs', usd(answer.runs.llm.estimated_cost_usd)], ['Calls of these runs', count(answer.runs.llm.calls)]] : []),
        [`Failures, last ${failures.window_minutes ?? '?'} min`, `${count(failures.failures)} of ${count(failures.total)} (${percent(failures.failure_rate)})`],
      ];
      shown.replaceChildren(
        ...[h('p', null, h('strong', null, 'Generated at '), when), covered && h('p', { class: 'hint' }, covered), files, list(figures),
          metrics && fold('Emergence, latest window', true, list(pairs(metrics.emergence_metrics_latest_window))),
          metrics && fold('Resources now', false, list(pairs(metrics.resource_concentration_now))),
          metrics && fold(`Windows (${rows.length} of ${metrics.window_minutes} min)`, true, windowsTable([...rows].reverse())),
          fold('Thresholds', false, h('dl', { class: 'facts' }, Object.entries(thresholds).map(([key, any]) =>
            h('div', null, h('dt', { class: 'mono' }, breakable(key)), h('dd', { class: 'figure' }, plain(any))))))].filter(Boolean));
      text(when, fullTime(answer.generated_at_utc));
      show(shown, true);
    }

    return (status) => go.hold(status);
  });
}
