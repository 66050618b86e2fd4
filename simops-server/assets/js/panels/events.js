/** The live tail of the event log, with filters; a row opens to its details. */

import { attr, h, keyed } from '../dom.js';
import { time } from '../format.js';
import { panel } from '../panel.js';
import { mergeById } from '../store.js';
import { tail } from './tail.js';

const SYSTEM = /^(run_|world_|settings_|simulation_)/;
const FOUND = 100;
const KEPT = 2_000;

/** The agent of an event: `#7`, or its name. Empty without one. */
function agentOf(event) {
  const number = event.agent_id ?? null;
  return number === null ? (event.agent ?? '') : `#${number}`;
}

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
      agentOf(event) === '' ? null : h('span', { class: 'agent', title: agentOf(event) }, agentOf(event)),
      h('span', { class: 'words' }, event.description),
    ),
  );
  // Details are rendered when a row is first opened.
  details.addEventListener('toggle', () => {
    if (!details.open || details.querySelector('pre')) return;
    const content = { id: event.id, run_id: event.run_id, ...event.metadata };
    details.append(h('pre', { tabindex: '0', 'aria-label': 'Details' }, JSON.stringify(content, null, 2)));
  });
  return h('li', { 'data-event': event.id }, details);
}

/** Events of one type or run from the whole log; the tail keeps only the newest. */
function searcher(app) {
  let query = '';
  let rows = [];
  let cursor = null;
  const ask = async (more) => {
    const asked = query;
    const page = await app.api.get(`events?limit=${FOUND}&${query}${more ? `&cursor=${encodeURIComponent(cursor)}` : ''}`);
    if (asked !== query) return;
    rows = mergeById(more ? rows : [], page.items, KEPT);
    cursor = page.next_cursor ?? null;
  };
  return {
    active: () => query !== '',
    rows: () => rows,
    hasOlder: () => cursor !== null,
    older: () => ask(true),
    async set(wanted) {
      if (wanted === query) return;
      [query, rows, cursor] = [wanted, [], null];
      if (query) await ask(false);
    },
  };
}

/** The panel. */
export function eventsPanel(app) {
  return panel(app, { id: 'events', title: 'Events', topic: 'events' }, (body, tools) => {
    const filter = h('input', {
      type: 'search', placeholder: 'Type, agent, text', 'aria-label': 'Filter events',
      'data-testid': 'events-filter', autocomplete: 'off', spellcheck: 'false',
    });
    const type = h('select', { 'aria-label': 'Type of event', 'data-testid': 'events-type' });
    const current = h('input', { type: 'checkbox', 'data-testid': 'events-current-run' });
    const types = new Set();
    const search = searcher(app);
    let wanted = [];

    const runId = () => app.store.get('status')?.viewer_ops?.run_id ?? '';

    function match(event) {
      if (current.checked && event.run_id !== runId()) return false;
      if (type.value && event.event_type !== type.value) return false;
      const content = `${event.event_type} ${agentOf(event)} ${event.description} ${event.run_id ?? ''}`.toLowerCase();
      return wanted.every((word) => content.includes(word));
    }

    const list = tail(app, {
      topic: 'events',
      label: 'Events, newest first',
      noun: 'event',
      create,
      match,
      nothing: 'No event yet, or none that matches.',
      hasOlder: () => (search.active() ? search.hasOlder() : app.feeds.hasOlder('events')),
      older: async () => {
        await (search.active() ? search.older() : app.feeds.older('events'));
        if (search.active()) again();
      },
    });

    /** Streamed events and search results, merged. */
    const all = () => (search.active() ? mergeById(search.rows(), app.store.get('events') ?? [], KEPT) : app.store.get('events') ?? []);

    function again() {
      wanted = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      list.set(all());
      list.redraw();
    }

    async function look() {
      const run = current.checked && runId() ? `run_id=${encodeURIComponent(runId())}` : '';
      const kind = type.value ? `type=${encodeURIComponent(type.value)}` : '';
      const found = search.set([run, kind].filter(Boolean).join('&'));
      again();
      await found.catch((error) => app.toast.failed(`Events: ${error.message}`));
      again();
    }

    filter.addEventListener('input', again);
    for (const control of [type, current]) control.addEventListener('change', look);
    attr(filter, 'size', 12);
    tools.append(filter, type, h('label', { class: 'check' }, current, h('span', null, 'This run')));
    body.append(list.frame);

    return (events) => {
      const before = types.size;
      for (const event of events) types.add(event.event_type);
      // Rebuilt only when there is a new type, and never while it is open.
      if (types.size !== before && document.activeElement !== type) {
        keyed(type, ['', ...[...types].sort()], (name) => name, (name) => h('option', { value: name }, name || 'All types'));
      }
      list.set(all());
    };
  });
}
