/** Labels and formats of the daily rollups' figures. */

import { count, percent } from './format.js';

/** The visitor funnel, in order: label, visitors, events, the rate that leads to it and what it is a share of. */
export const FUNNEL = [
  ['Landing', 'landing_view_visitors', 'landing_views', null, ''],
  ['Run click', 'landing_run_click_visitors', 'landing_run_clicks', 'landing_to_run_ctr', 'of landing visitors'],
  ['Run detail', 'run_detail_visitors', 'run_detail_views', null, ''],
  ['Replay start', 'replay_start_visitors', 'replay_starts', 'run_to_replay_start_rate', 'of detail visitors'],
  ['Completed', 'replay_completion_visitors', 'replay_completions', 'replay_completion_rate', 'of replay starters'],
  ['Shared', 'share_action_visitors', 'share_actions', 'share_action_rate', 'of viewers'],
  ['Link opened', 'shared_link_open_visitors', 'shared_link_opens', 'shared_link_ctr', 'of share clickers'],
];

/** The onboarding of a visitor: label, visitors, the rate. */
export const ONBOARDING = [
  ['Shown', 'onboarding_shown_visitors', null],
  ['Completed', 'onboarding_completed_visitors', 'onboarding_completion_rate'],
  ['Skipped', 'onboarding_skipped_visitors', 'onboarding_skip_rate'],
  ['Glossary opened', 'onboarding_glossary_opened_visitors', 'onboarding_glossary_open_rate'],
];

/** Every rate: its field and its name. */
export const RATES = [
  ['landing_to_run_ctr', 'Landing -> Run CTR'],
  ['run_to_replay_start_rate', 'Run -> Replay Start'],
  ['replay_completion_rate', 'Replay Completion'],
  ['share_action_rate', 'Share rate'],
  ['shared_link_ctr', 'Shared link CTR'],
  ['d1_retention_rate', 'D1'],
  ['d7_retention_rate', 'D7'],
];

/** A rate, or n/a while there is none. */
export const rate = (value) => (value === null || value === undefined ? 'n/a' : percent(value));

/** A count, or n/a. */
export const figure = (value) => (value === null || value === undefined ? 'n/a' : count(value));

/** The rows of an answer, oldest day first. */
export const oldestFirst = (items) => [...items].sort((a, b) => a.day_key.localeCompare(b.day_key));

/** The newest day whose retention is known, or null. */
export function mature(items, which) {
  const known = oldestFirst(items).filter((row) => row[`${which}_retention_rate`] !== null && row[`${which}_retention_rate`] !== undefined);
  return known.at(-1) ?? null;
}

/** The difference between a rate and its average: `+3.2 pt`; empty when either is missing. */
export function against(value, average) {
  if (typeof value !== 'number' || typeof average !== 'number') return '';
  const points = (value - average) * 100;
  return `${points >= 0 ? '+' : '−'}${Math.abs(points).toFixed(1)} pt`;
}

/** The interval that holds the true rate in 95 of 100 cases: `7–27 %`; empty where there is none. */
export function interval(range) {
  if (typeof range?.low !== 'number' || typeof range?.high !== 'number') return '';
  return `${(range.low * 100).toFixed(range.low < 0.1 ? 1 : 0)}–${percent(range.high)}`;
}
