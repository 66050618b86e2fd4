/** The daily rollups as a table, newest day first; a day that is not over says so. */

import { attr, h, keyed, show, text } from '../dom.js';
import { figure, rate } from '../kpi.js';

const COLUMNS = [
  ['Landing', 'landing_view_visitors', figure], ['Clicks', 'landing_run_click_visitors', figure],
  ['CTR', 'landing_to_run_ctr', rate], ['Detail', 'run_detail_visitors', figure],
  ['Starts', 'replay_start_visitors', figure], ['Start rate', 'run_to_replay_start_rate', rate],
  ['Completed', 'replay_completion_visitors', figure], ['Completion', 'replay_completion_rate', rate],
  ['Sharers', 'share_action_visitors', figure], ['Share rate', 'share_action_rate', rate],
  ['Opens', 'shared_link_open_visitors', figure], ['Cohort', 'd1_cohort_size', figure],
  ['D1', 'd1_retention_rate', rate], ['D7', 'd7_retention_rate', rate],
];

/** The table; `set(rows)` takes them oldest first. */
export function dayTable() {
  const rows = h('tbody');
  const table = h('table', { class: 'days' },
    h('thead', null, h('tr', null, h('th', { scope: 'col' }, 'Day (UTC)'),
      COLUMNS.map(([label]) => h('th', { scope: 'col', class: 'figure' }, label)))),
    rows);
  const node = h('div', { class: 'scroll-x tall', tabindex: '0', role: 'group', 'aria-label': 'Days, newest first, in visitors', 'data-testid': 'kpi-days' }, table);

  function create({ day_key: day }) {
    return h('tr', { 'data-day': day },
      h('th', { scope: 'row' }, h('span', { class: 'mono' }, day), ' ', h('span', { class: 'tag', 'data-kind': 'warn' }, 'partial')),
      COLUMNS.map(() => h('td', { class: 'figure' })));
  }

  return {
    node,
    set(items) {
      keyed(rows, [...items].reverse(), (row) => row.day_key, create, (line, row) => {
        show(line.querySelector('.tag'), Boolean(row.partial));
        attr(line, 'data-partial', row.partial ? 'true' : null);
        COLUMNS.forEach(([, field, write], n) => text(line.children[n + 1], write(row[field])));
      });
    },
  };
}
