/** What the day has spent of its caps: dollars, and calls per provider. */

import { h, show, text } from '../dom.js';
import { count, percent, usd } from '../format.js';
import { panel } from '../panel.js';
import { bar, toneOf } from '../parts.js';

const CALLS = [
  ['calls_total', 'All calls', 'LLM_MAX_CALLS_PER_DAY_TOTAL'],
  ['calls_openrouter_free', 'OpenRouter free', 'LLM_MAX_CALLS_PER_DAY_OPENROUTER_FREE'],
  ['calls_groq', 'Groq', 'LLM_MAX_CALLS_PER_DAY_GROQ'],
  ['calls_gemini', 'Gemini', 'LLM_MAX_CALLS_PER_DAY_GEMINI'],
];

function meterRow(label) {
  const figure = h('span', { class: 'figure' });
  const meter = bar(label);
  const row = h('div', { class: 'meter-row' }, h('span', null, label), figure, meter.svg);
  return { row, figure, meter };
}

/** The panel. */
export function budgetPanel(app) {
  return panel(app, { id: 'budget', title: 'Budget', topic: 'status', also: ['config'] }, (body) => {
    const spent = meterRow('Spent today');
    const state = h('p', { class: 'hint', role: 'status' });
    const rows = new Map(CALLS.map(([key, label]) => [key, meterRow(label)]));
    const unpriced = h('p', { class: 'warning', hidden: true });
    body.append(spent.row, state, ...[...rows.values()].map(({ row }) => row), unpriced);

    return (status) => {
      const budget = status.llm_budget;
      const caps = app.store.get('config')?.effective ?? {};
      const { estimated_cost_usd: cost, soft_cap_usd: soft, hard_cap_usd: hard } = budget;
      const cap = hard > 0 ? hard : soft;
      text(spent.figure, cap > 0 ? `${usd(cost)} of ${usd(cap)}` : usd(cost));
      const tone = hard > 0 && cost >= hard ? 'bad' : soft > 0 && cost >= soft ? 'warn' : 'good';
      spent.meter.set({ value: cost, max: cap, markAt: soft, tone, words: `${usd(cost)} of ${usd(cap)}` });
      text(state, `${budget.day_key} UTC. ${spending(cost, soft, hard)}`);

      for (const [key, , setting] of CALLS) {
        const { figure, meter } = rows.get(key);
        const used = budget[key] ?? 0;
        const max = caps[setting];
        const words = max > 0 ? `${count(used)} of ${count(max)}` : `${count(used)}${max === 0 ? ', no cap' : ''}`;
        text(figure, words);
        meter.set({ value: used, max: max ?? 0, tone: toneOf(max > 0 ? used / max : 0), words });
      }
      const without = budget.unpriced_calls ?? 0;
      show(unpriced, without > 0);
      text(unpriced, `${count(without)} calls went to models the price book does not know.`);
    };
  });
}

function spending(cost, soft, hard) {
  if (hard > 0 && cost >= hard) return 'The hard cap is reached: calls are refused.';
  if (soft > 0 && cost >= soft) return `Over the soft cap of ${usd(soft)}: calls are degraded.`;
  if (hard > 0) return `${percent(cost / hard)} of the hard cap${soft > 0 ? `; soft cap at ${usd(soft)}` : ''}.`;
  return soft > 0 ? `Soft cap at ${usd(soft)}; no hard cap.` : 'No dollar cap is set.';
}
