/** The last stop by a guardrail, with the values that triggered it. */

import { conditionName, figuresOf } from '../conditions.js';
import { button, h, show, text } from '../dom.js';
import { showEvidence } from '../evidence.js';
import { fullTime, setTime, usd, words } from '../format.js';

/** The part; `set(event, error)` patches it. */
export function tripPart(app) {
  const what = h('strong');
  const when = h('time');
  const run = h('span', { class: 'mono' });
  const evidence = h('ul', { class: 'evidence' });
  const event = button('', { class: 'link', on: { click: () => showEvidence(app, `/api/admin/events/${shown}`, event.textContent) } });
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
      const { reason, details = {} } = last.metadata ?? {};
      const { conditions = [], refused_call_usd: refused } = details ?? {};
      text(what, conditionName(reason ?? words(last.event_type)));
      setTime(when, last.created_at, fullTime);
      text(run, last.run_id ?? 'a run');
      const lines = (Array.isArray(conditions) ? conditions : []).map((row) =>
        h('li', { 'data-tripped': row.tripped ? 'true' : null },
          h('span', null, conditionName(row.condition)),
          h('span', { class: 'figure' }, figuresOf(row).join(', ') + (row.tripped ? ' (tripped)' : ''))));
      if (typeof refused === 'number') {
        lines.push(h('li', null, h('span', null, 'Cost bound of the refused call'), h('span', { class: 'figure' }, usd(refused))));
      }
      evidence.replaceChildren(...lines);
      text(event, `Event ${last.id}`);
    },
  };
}
