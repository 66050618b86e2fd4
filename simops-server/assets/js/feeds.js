/** Which request fills which topic, and what a stream event means for them. */

import { mergeById } from './store.js';

/** So many rows of a list are kept; asking for older ones keeps more. */
const KEPT_ROWS = 400;
const OLDER_ROWS = 100;
const INVALIDATE_MS = 150;
/** A status a little older than the one shown overtook it on the way; a much older one is another clock. */
const OVERTAKEN_MS = 5_000;

const PATHS = {
  status: 'status',
  metrics: 'run/metrics',
  audit: 'audit?limit=50',
  events: 'events?limit=100',
  config: 'config',
  runs: 'runs?limit=20',
};

/** The feeds of one session. */
export function createFeeds(api, store) {
  const timers = new Map();
  const lists = { audit: null, events: null };

  /** New rows of a list. */
  const push = (topic, rows) => store.put(topic, mergeById(store.get(topic), rows, lists[topic]?.kept ?? KEPT_ROWS));

  /** What is known of the rows before `page`: the audit trail counts, the event log has a cursor. */
  const before = (topic, page, kept) => ({
    kept,
    cursor: page.next_cursor ?? null,
    more: topic === 'audit' ? page.items.length === page.limit : Boolean(page.next_cursor),
  });

  /**
   * The newest page of a list. `mark` was the newest row when it was asked for: a page that does
   * not reach back to it would leave a gap, so what is older than the page is dropped.
   */
  function front(topic, page, mark) {
    const joins = mark !== undefined && page.items.some((row) => row.id === mark);
    const known = store.get(topic) ?? [];
    if (!joins) lists[topic] = before(topic, page, KEPT_ROWS);
    const kept = joins ? known : known.filter((row) => mark === undefined || row.id > mark);
    store.put(topic, mergeById(kept, page.items, lists[topic].kept));
  }

  const accept = {
    status(data) {
      const age = Date.parse(store.get('status')?.server_time_utc) - Date.parse(data.server_time_utc);
      if (age > 0 && age < OVERTAKEN_MS) return;
      store.syncClock(data.server_time_utc);
      store.put('status', data);
    },
    metrics: (data) => store.put('metrics', data),
    audit: (page, mark) => front('audit', page, mark),
    events: (page, mark) => front('events', page, mark),
    config: (data) => store.put('config', data),
    runs: (data) => store.put('runs', data),
  };

  /** Asks for a topic; a failure is kept with the topic and returned. */
  async function refresh(topic) {
    const mark = store.get(topic)?.[0]?.id;
    try {
      accept[topic](await api.get(PATHS[topic]), mark);
      return null;
    } catch (error) {
      store.fail(topic, error);
      return error;
    }
  }

  /** Asks soon; many wishes become one request. */
  function invalidate(topic) {
    clearTimeout(timers.get(topic));
    timers.set(topic, setTimeout(() => refresh(topic), INVALIDATE_MS));
  }

  return {
    refresh,

    /** Whether a list has rows before its oldest one. */
    hasOlder: (topic) => Boolean(lists[topic]?.more),

    /** Fetches rows before the oldest one of a list. */
    async older(topic) {
      const known = store.get(topic).length;
      const { kept, cursor } = lists[topic];
      const from = topic === 'audit' ? `offset=${known}` : `cursor=${encodeURIComponent(cursor)}`;
      const page = await api.get(`${topic}?limit=${OLDER_ROWS}&${from}`);
      lists[topic] = before(topic, page, kept + page.items.length);
      push(topic, page.items);
    },

    /** Asks for everything but the status; each on its own, so that one failure stays one. */
    refreshRest: () => Promise.all(Object.keys(PATHS).filter((t) => t !== 'status').map(refresh)),

    /** Takes in one event of the stream. */
    onStream(type, data) {
      if (type === 'status') {
        const before = store.get('status')?.run_metadata;
        accept.status(data);
        const after = data.run_metadata;
        if (before?.run_id !== after?.run_id || before?.ended_at !== after?.ended_at) invalidate('runs');
      }
      if (type === 'metrics') accept.metrics(data);
      if (type === 'events') push('events', data.items);
      if (type === 'audit') {
        push('audit', data.items);
        invalidate('config');
        invalidate('runs');
      }
    },
  };
}
