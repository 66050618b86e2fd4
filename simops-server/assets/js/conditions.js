/** Labels, formats and distances of stop conditions. */

import { count, number, percent, usd, words } from './format.js';

/** An unknown condition is shown by its name with plain numbers. */
const UNITS = {
  hard_budget_exceeded: { label: 'Hard budget', first: usd, noun: 'today' },
  provider_failures_repeated: { label: 'Provider failures', first: count, noun: 'failed calls', second: percent, both: 'of all calls' },
  db_pool_pressure: { label: 'Database pool', first: percent, noun: 'in use', second: count, both: 'checks in a row' },
};

/** Its label. */
export const conditionName = (condition) => UNITS[condition]?.label ?? words(condition);

const has = (figure) => figure !== null && figure !== undefined;

/** Its values, one text or two: `3 failed calls (limit 25)`, `12 % of all calls (limit 50 %)`. */
export function figuresOf(row) {
  const { first = number, noun = '', second = number, both = '' } = UNITS[row.condition] ?? {};
  const limited = (write, observed, threshold, unit) => `${`${write(observed)} ${unit}`.trim()} (limit ${write(threshold)})`;
  const texts = [limited(first, row.observed, row.threshold, noun)];
  if (has(row.second_threshold)) texts.push(limited(second, row.second_observed, row.second_threshold, both));
  return texts;
}

/** Both figures must reach their limits: the smaller share is the distance to the stop. */
export function nearness(row) {
  const share = row.threshold > 0 ? row.observed / row.threshold : 0;
  const second = has(row.second_threshold) && row.second_threshold > 0 ? row.second_observed / row.second_threshold : 1;
  return Math.min(share, second);
}

/** off, tripped, near or ok */
export function stateOf(row) {
  if (row.enabled === false) return 'off';
  if (row.tripped) return 'tripped';
  return nearness(row) >= 0.85 ? 'near' : 'ok';
}

/** What is left before the stop: `22 failed calls to go`. */
export function distanceOf(row) {
  const { first = number, noun = '', second = number, both = '' } = UNITS[row.condition] ?? {};
  if (row.enabled === false) return 'switched off';
  if (row.tripped) return 'reached';
  const left = Math.max(0, row.threshold - row.observed);
  const more = has(row.second_threshold) ? Math.max(0, row.second_threshold - row.second_observed) : 0;
  const parts = [];
  if (left > 0) parts.push(`${first(left)} ${noun}`.trim());
  if (more > 0) parts.push(`${second(more)} ${both}`.trim());
  return parts.length ? `${parts.join(' and ')} to go` : 'at its threshold';
}
