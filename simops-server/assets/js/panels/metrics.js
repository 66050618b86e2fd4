/** Metrics of the current run: model calls, actions of agents, governance. */

import { h, text } from '../dom.js';
import { count, fullTime, percent, usd } from '../format.js';
import { panel } from '../panel.js';
import { facts } from '../parts.js';

const GROUPS = [
  ['llm', 'Model calls', [
    ['calls', 'Calls'], ['success_calls', 'Answered'], ['fallback_calls', 'Degraded or fallback'],
    ['total_tokens', 'Tokens'], ['estimated_cost_usd', 'Cost', usd],
  ]],
  ['activity', 'Activity', [
    ['runtime_actions', 'Runtime actions'],
    ['checkpoint_actions', 'Model actions', count, 'part'], ['deterministic_actions', 'Rule actions', count, 'part'],
    ['proposal_actions', 'Proposal actions'], ['vote_actions', 'Vote actions'],
    ['forum_actions', 'Forum actions'], ['forum_messages', 'Forum messages'],
  ]],
  ['governance', 'Governance', [
    ['proposals_created', 'Proposals'], ['active_proposals', 'Open proposals'], ['votes_cast', 'Votes cast'],
  ]],
];

/** The panel. */
export function metricsPanel(app) {
  return panel(app, { id: 'metrics', title: 'Run Metrics', topic: 'metrics' }, (body) => {
    const about = h('p', { class: 'hint' });
    const lists = new Map();
    const columns = GROUPS.map(([group, title, rows]) => {
      const list = facts(rows.map(([key, label]) => [key, label, 'figure']));
      // Parts of the figure above them are indented.
      for (const [key, , , part] of rows) if (part) list.node(key).parentElement.classList.add('part');
      lists.set(group, list);
      return h('div', null, h('h3', null, title), list.list);
    });
    body.append(about, h('div', { class: 'thirds' }, columns));

    return (metrics) => {
      const since = metrics.run_started_at ? `since ${fullTime(metrics.run_started_at)}` : '';
      text(about, metrics.run_id ? `${metrics.run_id} ${since}` : 'No run yet.');
      const { checkpoint_actions: model = 0, deterministic_actions: rule = 0 } = metrics.activity ?? {};
      const shown = { ...metrics, activity: { ...metrics.activity, runtime_actions: model + rule } };
      for (const [group, , rows] of GROUPS) {
        for (const [key, , write = count] of rows) lists.get(group).set(key, write(shown[group]?.[key]));
      }
      const { calls, success_calls: answered } = metrics.llm ?? {};
      if (calls > 0) lists.get('llm').set('success_calls', `${count(answered)} (${percent(answered / calls)})`);
    };
  });
}
