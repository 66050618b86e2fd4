/** Which request fills which topic, and what a stream event means for them. */

import { mergeById } from './store.js';

const AUDIT_ROWS = 500;
const EVENT_ROWS = 400;
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

  const accept = {
    status(data) {
      const age = Date.parse(store.get('status')?.server_time_utc) - Date.parse(data.server_time_utc);
      if (age > 0 && age < OVERTAKEN_MS) return;
      store.syncClock(data.server_time_utc);
      store.put('status', data);
    },
    metrics: (data) => store.put('metrics', data),
    audit: (data) => store.put('audit', mergeById(store.get('audit'), data.items, AUDIT_ROWS)),
    events: (data) => store.put('events', mergeById(store.get('events'), data.items, EVENT_ROWS)),
    config: (data) => store.put('config', data),
    runs: (data) => store.put('runs', data),
  };

  /** Asks for a topic; a failure is kept with the topic and returned. */
  async function refresh(topic) {
    try {
      accept[topic](await api.get(PATHS[topic]));
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
    accept,
    refresh,
    invalidate,

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
      if (type === 'events') accept.events(data);
      if (type === 'audit') {
        accept.audit(data);
        invalidate('config');
        invalidate('runs');
      }
    },
  };
}
