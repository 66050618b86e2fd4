/** Elements shared by panels: facts, pills, bars. */

import { attr, h, s, text } from './dom.js';

/** A list of labelled values; `set(key, value)` patches one, `node(key)` gives its element. */
export function facts(rows) {
  const cells = new Map();
  const list = h('dl', { class: 'facts' });
  for (const [key, label, kind] of rows) {
    const cell = h('dd', { class: kind ?? null, 'data-fact': key });
    cells.set(key, cell);
    list.append(h('div', null, h('dt', null, label), cell));
  }
  return {
    list,
    node: (key) => cells.get(key),
    set(key, value) {
      const shown = value === null || value === undefined || value === '' ? '–' : value;
      text(cells.get(key), shown);
    },
  };
}

const TONES = {
  running: 'good', live: 'good', ok: 'good',
  starting: 'busy', pausing: 'busy', stopping: 'busy', quiescing: 'busy', connecting: 'busy',
  paused: 'warn', reconnecting: 'warn', polling: 'warn', degraded: 'warn', near: 'warn',
  lost: 'bad', offline: 'bad', locked: 'bad', tripped: 'bad', guardrail: 'bad',
};

/** A pill that shows a state as text, with a colour. */
export function pill(props) {
  return h('span', { class: 'pill', ...props });
}

/** Writes a state into a pill. */
export function setPill(node, state, label = state) {
  text(node, label);
  attr(node, 'data-state', state);
  attr(node, 'data-tone', TONES[state] ?? 'plain');
}

/** A bar from 0 to `max` with an optional mark; drawn as SVG, as the page allows no inline style. */
export function bar(label) {
  const fill = s('rect', { class: 'bar-fill', x: 0, y: 0, height: 6, width: 0 });
  const mark = s('rect', { class: 'bar-mark', y: 0, height: 6, width: 0.6, visibility: 'hidden' });
  const svg = s(
    'svg',
    { class: 'bar', viewBox: '0 0 100 6', preserveAspectRatio: 'none', role: 'meter', 'aria-label': label },
    s('rect', { class: 'bar-track', width: 100, height: 6 }),
    fill,
    mark,
  );
  return {
    svg,
    set({ value, max, markAt = null, tone = 'good', words }) {
      const share = max > 0 ? Math.min(1, Math.max(0, value / max)) : 0;
      attr(fill, 'width', (share * 100).toFixed(2));
      const marked = markAt !== null && max > 0 && markAt > 0 && markAt < max;
      attr(mark, 'visibility', marked ? 'visible' : 'hidden');
      if (marked) attr(mark, 'x', ((markAt / max) * 100).toFixed(2));
      attr(svg, 'data-tone', tone);
      attr(svg, 'aria-valuemin', 0);
      attr(svg, 'aria-valuemax', max);
      attr(svg, 'aria-valuenow', Math.min(value, max));
      attr(svg, 'aria-valuetext', words);
    },
  };
}

/** The colour for a share of a limit. */
export function toneOf(share) {
  if (share >= 1) return 'bad';
  return share >= 0.85 ? 'warn' : 'good';
}
