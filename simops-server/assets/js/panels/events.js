/** The live tail of the event log, with a filter; a row opens to its details. */

import { attr, h } from '../dom.js';
import { time } from '../format.js';
import { panel } from '../panel.js';
import { tail } from './tail.js';

const SYSTEM = /^(run_|world_|settings_|simulation_)/;

function create(event) {
  const system = SYSTEM.test(event.event_type);
  const alarm = event.event_type === 'simulation_stopped_guardrail';
  const details = h(
    'details',
    null,
    h(
      'summary',
      null,
      time(event.created_at),
      h('span', { class: 'tag', 'data-kind': alarm ? 'alarm' : system ? 'system' : null }, event.event_type),
      event.agent_id === null || event.agent_id === undefined ? null : h('span', { class: 'agent' }, `#${event.agent_id}`),
      h('span', { class: 'words' }, event.description),
    ),
  );
  // Most rows are never opened: their details are written when they are.
  details.addEventListener('toggle', () => {
    if (!details.open || details.querySelector('pre')) return;
    const content = { id: event.id, run_id: event.run_id, ...event.metadata };
    details.append(h('pre', { tabindex: '0', 'aria-label': 'Details' }, JSON.stringify(content, null, 2)));
  });
  return h('li', { 'data-event': event.id }, details);
}

/** The panel. */
export function eventsPanel(app) {
  return panel(app, { id: 'events', title: 'Events', topic: 'events' }, (body, tools) => {
    const filter = h('input', {
      type: 'search', placeholder: 'Filter: type, agent, text', 'aria-label': 'Filter events',
      'data-testid': 'events-filter', autocomplete: 'off', spellcheck: 'false',
    });
    const current = h('input', { type: 'checkbox', 'data-testid': 'events-current-run' });
    let wanted = [];

    function match(event) {
      const runId = app.store.get('status')?.viewer_ops?.run_id;
      if (current.checked && event.run_id !== runId) return false;
      const content = `${event.event_type} #${event.agent_id ?? ''} ${event.description} ${event.run_id ?? ''}`.toLowerCase();
      return wanted.every((word) => content.includes(word));
    }

    const list = tail(app, {
      topic: 'events',
      label: 'Events, newest first',
      noun: 'event',
      create,
      match,
      nothing: 'No event yet, or none that matches.',
    });
    const again = () => {
      wanted = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      list.redraw();
    };
    filter.addEventListener('input', again);
    current.addEventListener('change', again);
    attr(filter, 'size', 22);
    tools.append(filter, h('label', { class: 'check' }, current, h('span', null, 'This run')));
    body.append(list.frame);
    return (events) => list.set(events);
  });
}
