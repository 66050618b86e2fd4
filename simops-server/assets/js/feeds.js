/** Which request fills which topic, when it is repeated, and which topics a stream event updates. */

import { mergeById } from './store.js';

/** Rows kept per list; loading older ones keeps more. */
const KEPT_ROWS = 400;
const OLDER_ROWS = 100;
const INVALIDATE_MS = 150;
/** A status at most this much older than the one shown arrived out of order; a larger difference means another clock. */
const OUT_OF_ORDER_MS = 5_000;

const TRIPPED = 'simulation_stopped_guardrail';
const today = (store) => new Date(store.now()).toISOString().slice(0, 10);
const runNow = (store) => store.get('status')?.run_metadata?.run_id;

/** `path` is the request of a topic; `every` (ms) repeats it while one of `views` is visible. Without it the stream brings changes. */
const TOPICS = {
  status: { path: () => 'status' },
  metrics: { path: () => 'run/metrics' },
  audit: { path: () => 'audit?limit=50' },
  events: { path: () => 'events?limit=100' },
  config: { path: () => 'config' },
  runs: { path: (store) => `runs?limit=${store.get('runs_shown') ?? 20}` },
  trip: { path: () => `events?type=${TRIPPED}&limit=1` },
  spend: { path: (store) => `usage/series?since=${today(store)}`, every: 10_000, views: ['run'] },
  calls: {
    path: (store) => `usage/series?since=2h${runNow(store) ? `&run_id=${encodeURIComponent(runNow(store))}` : ''}`,
    every: 10_000,
    views: ['run'],
  },
  budgets: { path: () => 'budgets', every: 10_000, views: ['run'] },
  alerts: { path: () => 'kpi/alerts?limit=50', every: 15_000, views: ['visitors'] },
  notifications: { path: () => 'kpi/notifications?limit=5', every: 15_000, views: ['visitors'] },
  digests: { path: () => 'digests?limit=20', every: 60_000, views: ['reports'] },
  rollups: { path: (store) => `kpi/rollups?days=${store.get('days') ?? 30}`, every: 30_000, views: null },
};

/** The feeds of one session. */
export function createFeeds(app) {
  const { api, store } = app;
  const timers = new Map();
  const lists = { audit: null, events: null };
  const askedAt = new Map();
  const seen = (views) => !views || views.includes(app.view());

  for (const [topic, { every }] of Object.entries(TOPICS)) if (every) store.asked(topic, every);

  /** New rows of a list. */
  const push = (topic, rows) => store.put(topic, mergeById(store.get(topic), rows, lists[topic]?.kept ?? KEPT_ROWS));

  /** Where the rows before `page` begin: the audit trail has an offset, the event log a cursor. */
  const before = (topic, page, kept) => ({
    kept,
    cursor: page.next_cursor ?? null,
    more: topic === 'audit' ? page.items.length === page.limit : Boolean(page.next_cursor),
  });

  /**
   * The newest page of a list. `mark` was the newest row at the time of the request: a page that
   * does not reach it leaves a gap, so older rows are dropped.
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
      if (age > 0 && age < OUT_OF_ORDER_MS) return;
      store.syncClock(data.server_time_utc);
      store.put('status', data);
    },
    audit: (page, mark) => front('audit', page, mark),
    events: (page, mark) => front('events', page, mark),
  };

  /** Requests a topic; an error is stored with the topic and returned. */
  async function refresh(topic) {
    const mark = store.get(topic)?.[0]?.id;
    const path = TOPICS[topic].path(store);
    askedAt.set(topic, Date.now());
    try {
      const data = await api.get(path);
      // The path may have changed meanwhile: another run, another number of days.
      if (path === TOPICS[topic].path(store)) (accept[topic] ?? ((any) => store.put(topic, any)))(data, mark);
      return null;
    } catch (error) {
      store.fail(topic, error);
      return error;
    }
  }

  /** Requests a topic soon; several calls become one request. */
  function invalidate(topic) {
    clearTimeout(timers.get(topic));
    // A hidden topic is requested when its view opens.
    if (!seen(TOPICS[topic].views)) askedAt.delete(topic);
    else timers.set(topic, setTimeout(() => refresh(topic), INVALIDATE_MS));
  }

  /** Repeats the requests that are due and visible. */
  function repeat() {
    if (document.hidden || store.get('status') === null) return;
    for (const [topic, { every, views }] of Object.entries(TOPICS)) {
      const due = Date.now() - (askedAt.get(topic) ?? 0) >= every;
      if (every && due && seen(views)) refresh(topic);
    }
  }

  store.on('tick', repeat);
  store.on('view', () => store.get('status') && repeat());

  return {
    refresh,
    invalidate,

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

    /** Requests every topic again, seen or not; returns the errors. */
    async refreshAll() {
      const errors = await Promise.all(Object.keys(TOPICS).map((topic) => refresh(topic)));
      store.put('refreshed', Date.now());
      return errors.filter(Boolean);
    },

    /** Requests every visible topic except the status; one failure does not affect the others. */
    refreshRest: () =>
      Promise.all(
        Object.entries(TOPICS)
          .filter(([topic, { views }]) => topic !== 'status' && seen(views))
          .map(([topic]) => refresh(topic)),
      ),

    /** Applies one event of the stream. */
    onStream(type, data) {
      if (type === 'status') {
        const before = store.get('status')?.run_metadata;
        accept.status(data);
        const after = data.run_metadata;
        if (before?.run_id !== after?.run_id) invalidate('calls');
        if (before?.run_id !== after?.run_id || before?.ended_at !== after?.ended_at) invalidate('runs');
      }
      if (type === 'alert') {
        invalidate('alerts');
        invalidate('notifications');
        invalidate('rollups');
      }
      if (type === 'metrics') store.put('metrics', data);
      if (type === 'events') {
        push('events', data.items);
        if (data.items.some((event) => event.event_type === TRIPPED)) invalidate('trip');
      }
      if (type === 'audit') {
        push('audit', data.items);
        invalidate('config');
        invalidate('budgets');
        invalidate('runs');
      }
    },
  };
}
