/** The last stop by a guardrail, with the figures it was decided on. */

import { h, show, text } from '../dom.js';
import { setTime, words, fullTime } from '../format.js';
import { conditionName, figuresOf } from '../conditions.js';

/** The part; `set(event, error)` patches it. */
export function tripPart() {
  const what = h('strong');
  const when = h('time');
  const run = h('span', { class: 'mono' });
  const evidence = h('ul', { class: 'evidence' });
  const event = h('span', { class: 'hint' });
  const found = h('div', { class: 'trip', hidden: true }, h('p', null, what, ' stopped ', run, ' at ', when, '.'), evidence, event);
  const none = h('p', { class: 'empty' }, 'No guardrail has stopped a run.');
  const node = h('div', { 'data-testid': 'last-trip' }, h('h3', null, 'Last trip'), found, none);
  let shown = null;

  return {
    node,
    set(page, error) {
      const last = page?.items?.[0] ?? null;
      show(found, Boolean(last));
      show(none, !last);
      text(none, error ? `The last trip could not be loaded: ${error.message}` : 'No guardrail has stopped a run.');
      if (!last || last.id === shown) return;
      shown = last.id;
      const { reason, conditions = [], refused_call_usd: refused } = last.metadata ?? {};
      text(what, conditionName(reason ?? words(last.event_type)));
      setTime(when, last.created_at, fullTime);
      text(run, last.run_id ?? 'a run');
      const lines = (Array.isArray(conditions) ? conditions : []).map((row) =>
        h('li', { 'data-tripped': row.tripped ? 'true' : null },
          h('span', null, conditionName(row.condition)),
          h('span', { class: 'figure' }, figuresOf(row).join(', ') + (row.tripped ? ' (tripped)' : ''))));
      if (typeof refused === 'number') {
        lines.push(h('li', null, h('span', null, 'A refused call needed'), h('span', { class: 'figure' }, `$${refused}`)));
      }
      evidence.replaceChildren(...lines);
      text(event, `Event ${last.id}`);
    },
  };
}
