/** Every budget: what it counts, what is used of it, and the controls that define, edit and delete it. */

import { attr, button, h, keyed, show, text } from '../dom.js';
import { bothTimes, count, duration, plural, shortTime, usd } from '../format.js';
import { panel } from '../panel.js';
import { bar } from '../parts.js';
import { editBudget } from './budget-form.js';

const NAMES = { group: 'group names', run: 'run IDs', agent: 'agent IDs', provider: 'provider names', model: 'model names' };
const WINDOWS = { day: 'per UTC day', month: 'per calendar month (UTC)', run: 'per run', lifetime: 'for all time' };
const HEADS = ['Key', 'Window', 'Used', 'In flight', 'Left'];

/** An amount with its unit. */
const amount = (unit, n) => (unit === 'usd' ? usd(n) : plural(n, unit.slice(0, -1)));
/** An amount whose unit is named next to it. */
const bare = (unit, n) => (unit === 'usd' ? usd(n) : count(n));

/** Which calls a budget counts, in words. */
function counted({ scope, key }) {
  if (scope === 'deployment') return 'all calls';
  if (key === '*') return `each ${scope}`;
  if (key.startsWith('*')) return `${NAMES[scope]} ending in ${key.slice(1)}`;
  if (key.endsWith('*')) return `${NAMES[scope]} beginning with ${key.slice(0, -1)}`;
  return `${scope} ${key}`;
}

/** 12 of 100 calls; the cap of a setting may have no limit at all. */
function usedOf({ unit, spent, soft, hard }) {
  if (hard === null && soft === null) return `${amount(unit, spent)}, no limit`;
  return `${bare(unit, spent)} of ${amount(unit, hard ?? soft)}${hard === null ? ' (soft)' : ''}`;
}

const reached = (limit, spent) => limit !== null && spent >= limit;

/** The use against both limits, and what is in flight, as sentences. */
function standing({ unit, spent, reserved, soft, hard }) {
  const sentences = [];
  if (reached(hard, spent)) sentences.push('The hard limit is reached: calls are refused.');
  else if (reached(soft, spent)) sentences.push(`The soft limit of ${amount(unit, soft)} is reached: calls are degraded.`);
  else if (soft !== null && hard !== null) sentences.push(`Soft limit ${amount(unit, soft)}.`);
  if (hard === null) sentences.push('No hard limit.');
  sentences.push(reserved > 0 ? `In flight: at most ${amount(unit, reserved)}.` : 'Nothing in flight.');
  return sentences;
}

/** When the hard limit is reached and when the window is over, as sentences. */
function timing({ spent, hard, resets_at: resetsAt, forecast }, now) {
  const until = (iso) => `${shortTime(iso)} UTC, in ${duration(Date.parse(iso) - now)}`;
  const sentences = [];
  if (hard !== null && !reached(hard, spent)) {
    if (forecast) sentences.push(`At the rate so far the hard limit is reached at ${until(forecast)}.`);
    else if (resetsAt) sentences.push('At the rate so far the hard limit is not reached in this window.');
  }
  if (resetsAt) sentences.push(`Resets at ${until(resetsAt)}.`);
  return sentences;
}

/** The uses of a budget, opened on demand. */
function usesPart(id) {
  const summary = h('summary');
  const rows = h('tbody');
  const table = h('table', null, h('thead', null, h('tr', null, HEADS.map((label) => h('th', { scope: 'col' }, label)))), rows);
  const node = h('details', { class: 'fold', 'data-testid': `budget-uses-${id}` }, summary,
    h('div', { class: 'scroll-x tall', tabindex: '0', role: 'group', 'aria-label': `Uses of ${id}` }, table));

  function update(row, { key, window, spent, reserved, left }, { unit }) {
    const shown = [key || 'all calls', window || 'all time', bare(unit, spent), bare(unit, reserved), left === null ? '–' : bare(unit, left)];
    [...row.children].forEach((cell, n) => text(cell, shown[n]));
  }

  return {
    node,
    set(budget) {
      const { uses, uses_total: total } = budget;
      show(node, total > 1);
      text(summary, uses.length < total ? `The ${uses.length} largest of ${count(total)} uses` : `${count(total)} uses; the figure above is the largest`);
      keyed(rows, uses, ({ key, window }) => JSON.stringify([window, key]),
        () => h('tr', null, h('th', { scope: 'row', class: 'mono' }), HEADS.slice(1).map(() => h('td'))),
        (row, use) => update(row, use, budget));
    },
  };
}

/** The panel. */
export function budgetsPanel(app) {
  return panel(app, { id: 'budgets', title: 'Budgets', topic: 'budgets', also: ['status'] }, (body, tools) => {
    const create = button('New budget', { class: 'quiet', 'data-testid': 'new-budget', on: { click: () => editBudget(app) } });
    const readOnly = h('p', { class: 'hint', hidden: true }, 'Read-only: write controls are disabled in this environment.');
    const failure = h('p', { class: 'failure', role: 'alert', hidden: true, 'data-testid': 'budgets-error' });
    const list = h('ul', { class: 'plain' });
    const none = h('p', { class: 'empty' }, 'No budget is defined.');
    tools.append(create);
    body.append(readOnly, failure, list, none);
    const parts = new WeakMap();

    /** Confirms, sends the request and refreshes the panel. */
    async function remove(budget) {
      show(failure, false);
      const agreed = await app.confirm({
        title: 'Delete this budget?',
        effects: ['Its limits no longer hold, at once. What is known of its use is deleted with it.'],
        facts: [['Budget', budget.id], ['Counts', `${counted(budget)}, ${WINDOWS[budget.window]}`], ['Used', usedOf(budget)]],
        danger: true,
        ok: 'Delete',
        askReason: true,
      });
      if (!agreed) return;
      try {
        await app.api.write(`budgets/${encodeURIComponent(budget.id)}`, agreed.reason ? { reason: agreed.reason } : {}, 'DELETE');
        // Its button, which has the focus, disappears.
        body.closest('section').focus({ preventScroll: true });
        app.toast.done(`Budget ${budget.id} deleted.`);
      } catch (error) {
        text(failure, error.message);
        show(failure, true);
      }
      await app.feeds.refresh('budgets');
    }

    function build({ id }) {
      const part = { budget: null, figure: h('span', { class: 'figure' }), meter: bar(`Used of ${id}`), uses: usesPart(id) };
      for (const name of ['what', 'state']) part[name] = h('p', { class: 'hint' });
      part.counting = h('p', { class: 'warning' }, 'Being counted; it admits no call until then.');
      part.setting = h('span', { class: 'mono' });
      part.ofSetting = h('p', { class: 'hint' }, 'Setting ', part.setting, ', changed in the ', h('a', { href: '#config' }, 'settings panel'), '.');
      part.edit = button('Edit', { class: 'quiet', 'data-testid': `edit-budget-${id}`, 'aria-label': `Edit budget ${id}`, on: { click: () => editBudget(app, part.budget) } });
      part.remove = button('Delete', { class: 'danger-quiet', 'data-testid': `delete-budget-${id}`, 'aria-label': `Delete budget ${id}`, on: { click: () => remove(part.budget) } });
      part.controls = h('div', { class: 'actions' }, part.edit, part.remove);
      const node = h('li', { class: 'block', 'data-budget': id, 'data-testid': `budget-row-${id}` },
        h('div', { class: 'meter-row' }, h('span', { class: 'mono key' }, id), part.figure, part.meter.svg),
        part.what, part.counting, part.state, part.ofSetting, part.uses.node, part.controls);
      parts.set(node, part);
      return node;
    }

    function update(node, budget, locked) {
      const part = parts.get(node);
      const { spent, soft, hard, setting } = budget;
      part.budget = budget;
      text(part.figure, usedOf(budget));
      const tone = reached(hard, spent) ? 'bad' : reached(soft, spent) ? 'warn' : 'good';
      part.meter.set({ value: spent, max: hard ?? soft ?? 0, markAt: soft, tone, words: usedOf(budget) });
      text(part.what, `Counts ${counted(budget)}, ${WINDOWS[budget.window]}.`);
      show(part.counting, !budget.counted);
      text(part.state, [...standing(budget), ...timing(budget, app.store.now())].join(' '));
      const { forecast, resets_at: resetsAt } = budget;
      attr(part.state, 'title', [forecast, resetsAt].map(bothTimes).filter(Boolean).join('\n') || null);
      show(part.ofSetting, setting !== null);
      text(part.setting, setting);
      part.uses.set(budget);
      show(part.controls, setting === null);
      attr(part.edit, 'disabled', locked);
      attr(part.remove, 'disabled', locked);
    }

    return ({ items }) => {
      const locked = !app.store.get('status')?.admin_write_enabled;
      show(readOnly, locked);
      attr(create, 'disabled', locked);
      show(none, items.length === 0);
      keyed(list, items, ({ id }) => id, build, (node, budget) => update(node, budget, locked));
    };
  });
}
