/** Formats of numbers, times and names. Times are UTC; titles add the local time. */

import { attr, h, text } from './dom.js';

const pad = (n) => String(n).padStart(2, '0');
const integer = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });
const money = (digits) => new Intl.NumberFormat('en-US', { style: 'currency', currency: 'USD', minimumFractionDigits: digits, maximumFractionDigits: digits });
const [cents, fine] = [money(2), money(4)];
const decimal = new Intl.NumberFormat('en-US', { maximumFractionDigits: 3 });

/** 12,345 */
export const count = (n) => (Number.isFinite(n) ? integer.format(n) : '–');

/** 0.35 */
export const number = (n) => (Number.isFinite(n) ? decimal.format(n) : '–');

/** $0.0123; cents are enough from ten dollars on. */
export const usd = (n) => (Number.isFinite(n) ? (n >= 10 ? cents : fine).format(n) : '–');

/** 42 %, with a non-breaking space. */
export const percent = (n) => (Number.isFinite(n) ? `${(n * 100).toFixed(n > 0 && n < 0.1 ? 1 : 0)}\u00a0%` : '–');

/** 2026-03-01 */
const day = (date) => `${date.getUTCFullYear()}-${pad(date.getUTCMonth() + 1)}-${pad(date.getUTCDate())}`;

/** 12:00:05 */
const clock = (date) => `${pad(date.getUTCHours())}:${pad(date.getUTCMinutes())}:${pad(date.getUTCSeconds())}`;

const parse = (iso) => {
  const date = new Date(iso ?? NaN);
  return Number.isNaN(date.getTime()) ? null : date;
};

/** 12:00:05, with the date in front when it is not today (UTC). */
export function shortTime(iso) {
  const date = parse(iso);
  if (!date) return '–';
  return day(date) === day(new Date()) ? clock(date) : `${day(date)} ${clock(date)}`;
}

/** 2026-03-01 12:00:05 UTC */
export function fullTime(iso) {
  const date = parse(iso);
  return date ? `${day(date)} ${clock(date)} UTC` : '–';
}

/** A title with UTC and local time; null for no time. */
export function bothTimes(iso) {
  const date = parse(iso);
  return date ? `${fullTime(iso)}\n${date.toLocaleString()} local` : null;
}

/** Writes a time into a `<time>` element, with the local time as its title. */
export function setTime(node, iso, write = shortTime) {
  const date = parse(iso);
  text(node, write(iso));
  attr(node, 'datetime', date ? date.toISOString() : null);
  attr(node, 'title', bothTimes(iso));
  return node;
}

/** A `<time>` element. */
export const time = (iso, write) => setTime(h('time'), iso, write);

/** 45 s, 12 min, 3 h 05 min, 2 d 4 h */
export function duration(ms) {
  if (!Number.isFinite(ms)) return '–';
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${pad(minutes % 60)} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** hard_budget_exceeded becomes Hard budget exceeded. */
export function words(name) {
  const plain = String(name ?? '').replaceAll('_', ' ').trim();
  return plain.charAt(0).toUpperCase() + plain.slice(1);
}

/** A setting's or an audit row's value; empty values are named. */
export function value(any) {
  if (any === null || any === undefined) return 'none';
  if (any === '') return '(empty)';
  return typeof any === 'object' ? JSON.stringify(any) : String(any);
}

/** A name like `LLM_MAX_CALLS` that breaks at its underscores when space is short. */
export const breakable = (name) => name.split(/(?<=_)/).flatMap((part) => [part, h('wbr')]).slice(0, -1);

/** A message that ends like a sentence, so that another may follow. */
export const sentence = (message) => (/[.!?]$/.test(message) ? message : `${message}.`);

/** yes or no */
export const yesNo = (flag) => (flag ? 'yes' : 'no');

/** 1 host, 2 hosts */
export const plural = (n, noun) => `${count(n)} ${noun}${n === 1 ? '' : 's'}`;
