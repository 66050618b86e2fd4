/** The day's spending against its caps, the forecast, and calls by provider. */

import { chart, clockOf } from '../chart.js';
import { attr, h, keyed, show, text } from '../dom.js';
import { bothTimes, count, duration, percent, shortTime, usd } from '../format.js';
import { panel } from '../panel.js';
import { bar, toneOf } from '../parts.js';
import { byProvider, fromFirstCall, running, steps } from '../series.js';

const CAPPED = [
  ['calls_total', 'All calls', 'LLM_MAX_CALLS_PER_DAY_TOTAL'],
  ['calls_openrouter_free', 'OpenRouter, free routes', 'LLM_MAX_CALLS_PER_DAY_OPENROUTER_FREE'],
  ['calls_groq', 'Groq', 'LLM_MAX_CALLS_PER_DAY_GROQ'],
  ['calls_gemini', 'Gemini', 'LLM_MAX_CALLS_PER_DAY_GEMINI'],
];
/** Providers that have a row with a cap above. */
const SHOWN = ['groq', 'gemini'];
const SPENDING = ['running', 'starting', 'pausing', 'stopping'];

function meterRow(label) {
  const figure = h('span', { class: 'figure' });
  const meter = bar(label);
  const row = h('div', { class: 'meter-row' }, h('span', null, label), figure, meter.svg);
  return { row, figure, meter };
}

/** The current state of the caps, as a sentence. */
function standing(cost, soft, hard) {
  if (hard > 0 && cost >= hard) return 'The hard cap is reached: calls are refused.';
  if (soft > 0 && cost >= soft) return `Over the soft cap of ${usd(soft)}: calls are degraded.`;
  if (hard > 0) return `${percent(cost / hard)} of the hard cap${soft > 0 ? `; soft cap at ${usd(soft)}` : ''}.`;
  return soft > 0 ? `Soft cap at ${usd(soft)}; no hard cap.` : 'No dollar cap is set.';
}

/** When the budget or a call cap will be reached, as a sentence. */
function projection(forecast, status, now) {
  const { estimated_cost_usd: cost, hard_cap_usd: hard } = status.llm_budget;
  const { usd_per_hour: rate, hard_cap_at: hardAt, soft_cap_at: softAt, calls_cap_at: callsAt } = forecast;
  if (hard > 0 && cost >= hard) return 'Exhausted. It starts again at midnight UTC.';
  if (!SPENDING.includes(status.run_state)) return 'No spending: no run is active.';
  if (forecast.calls_per_hour === 0) return 'No calls in the last hour: no forecast.';
  const pace = `At ${usd(rate)}/h (last ${forecast.window_minutes} min)`;
  const until = (iso) => `${shortTime(iso)} UTC, in ${duration(Date.parse(iso) - now)}`;
  if (hardAt) return `${pace} the hard cap is reached at ${until(hardAt)}.`;
  if (callsAt) return `${pace}; at ${count(Math.round(forecast.calls_per_hour))} calls/h the cap on all calls is reached at ${until(callsAt)}.`;
  if (softAt && Date.parse(softAt) > now) return `${pace} the soft cap is reached at ${until(softAt)}.`;
  return hard > 0 ? `${pace} the hard cap is not reached today.` : `${pace}; no hard cap is set.`;
}

/** Columns of the chart: the day's spending, its projection to the cap or midnight, and both caps. */
function columns(series, budget, projected, now) {
  const { hard_cap_usd: hard, soft_cap_usd: soft } = budget;
  const all = fromFirstCall(steps(series), 6);
  const times = [all[0].at, ...all.slice(0, -1).map((step) => step.at + series.step_seconds), now / 1000];
  const spent = [0, ...running(all.map((step) => step.cost))];
  const ahead = spent.map(() => null);
  const { hard_cap_at: hardAt, day_ends_at: end, usd_per_hour: rate } = series.forecast;
  if (projected && rate > 0 && !(hard > 0 && budget.estimated_cost_usd >= hard)) {
    const to = Date.parse(hardAt ?? end) / 1000;
    const last = spent.at(-1);
    ahead[ahead.length - 1] = last;
    times.push(to);
    spent.push(null);
    ahead.push(last + (rate * (to - now / 1000)) / 3600);
  }
  const flat = (cap) => times.map(() => (cap > 0 ? cap : null));
  return [times, spent, ahead, flat(soft), flat(hard)];
}

/** The panel. */
export function budgetPanel(app) {
  return panel(app, { id: 'budget', title: 'Budget', topic: 'status', also: ['config', 'spend'] }, (body) => {
    const spent = h('strong', { class: 'hero', 'data-testid': 'budget-spent' });
    const of = h('span', { class: 'dim' });
    const day = h('span', { class: 'hint' });
    const meter = bar('Spent today');
    const state = h('p', { class: 'hint' });
    const ahead = h('p', { class: 'projection', 'data-testid': 'budget-projection' });
    const unavailable = h('p', { class: 'empty', hidden: true });
    const rows = new Map(CAPPED.map(([key, label]) => [key, meterRow(label)]));
    const others = h('ul', { class: 'plain' });
    const unpriced = h('p', { class: 'hint', 'data-testid': 'unpriced' });
    const drawing = chart({
      label: 'Spending of the day in USD',
      height: 132,
      axis: (value) => `$${Number(value.toFixed(4))}`,
      series: [
        { label: 'Spent', colour: '--c1', fill: 0.1, write: usd, width: 2, spanGaps: false },
        { label: 'Projected', colour: '--c1', dash: [4, 4], write: usd },
        { label: 'Soft cap', colour: '--c-soft', dash: [2, 4], write: usd, width: 1 },
        { label: 'Hard cap', colour: '--c-bad', width: 1, write: usd },
      ],
      time: (at, long) => (long ? `${clockOf(at)} UTC` : clockOf(at)),
      // A cap far above the spending would flatten the line.
      top: (high) => Math.max(scale, 1e-6) * 1.12 || high,
    });
    let scale = 1;
    body.append(
      h('div', { class: 'hero-row' }, spent, of, day),
      meter.svg, state, ahead, drawing.node, unavailable,
      ...[...rows.values()].map(({ row }) => row), others, unpriced,
    );

    function draw(status) {
      const { data: series, error } = app.store.slot('spend');
      show(drawing.node, Boolean(series));
      show(unavailable, !series && Boolean(error));
      if (error) text(unavailable, `Spending along the day could not be loaded: ${error.message}`);
      const now = app.store.now();
      text(ahead, series ? projection(series.forecast, status, now) : '');
      const { hard_cap_at: hardAt, calls_cap_at: callsAt, soft_cap_at: softAt } = series?.forecast ?? {};
      attr(ahead, 'title', bothTimes(hardAt ?? callsAt ?? softAt));
      if (!series) return;
      const data = columns(series, status.llm_budget, SPENDING.includes(status.run_state), Date.parse(series.until));
      const most = Math.max(0, ...data[1], ...data[2]);
      const hard = status.llm_budget.hard_cap_usd;
      scale = hard > 0 && (most >= hard / 4 || most === 0) ? Math.max(most, hard) : most || status.llm_budget.soft_cap_usd || 1;
      drawing.set(data, `${usd(status.llm_budget.estimated_cost_usd)} spent. ${ahead.textContent}`);
      const rest = byProvider(series).filter(({ provider }) => !SHOWN.includes(provider));
      keyed(others, rest, ({ provider }) => provider,
        ({ provider }) => h('li', { class: 'meter-row' }, h('span', null, `${provider}, no cap of its own`), h('span', { class: 'figure' })),
        (node, { calls }) => text(node.lastChild, count(calls)));
    }

    return (status) => {
      const budget = status.llm_budget;
      const caps = app.store.get('config')?.effective ?? {};
      const { estimated_cost_usd: cost, soft_cap_usd: soft, hard_cap_usd: hard } = budget;
      const cap = hard > 0 ? hard : soft;
      text(spent, usd(cost));
      text(of, cap > 0 ? `of ${usd(cap)}${hard > 0 ? '' : ' (soft)'}` : 'no cap');
      text(day, `${budget.day_key} UTC`);
      const tone = hard > 0 && cost >= hard ? 'bad' : soft > 0 && cost >= soft ? 'warn' : 'good';
      meter.set({ value: cost, max: cap, markAt: soft, tone, words: `${usd(cost)} of ${usd(cap)}` });
      text(state, standing(cost, soft, hard));
      for (const [key, , setting] of CAPPED) {
        const { figure, meter: line } = rows.get(key);
        const used = budget[key] ?? 0;
        const max = caps[setting];
        const words = max > 0 ? `${count(used)} of ${count(max)}` : `${count(used)}${max === 0 ? ', no cap' : ''}`;
        text(figure, words);
        line.set({ value: used, max: max ?? 0, tone: toneOf(max > 0 ? used / max : 0), words });
      }
      const without = budget.unpriced_calls ?? 0;
      unpriced.className = without > 0 ? 'warning' : 'hint';
      text(unpriced, without > 0
        ? `${count(without)} unpriced call${without === 1 ? '' : 's'}: the price book does not know the model.`
        : 'Unpriced calls: 0.');
      draw(status);
    };
  });
}
