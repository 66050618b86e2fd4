/** The page's state: one slot per topic with its data, the time of the last success, and the last error. */

const STALE_AFTER_MS = 10_000;

/** Rows of both lists, newest (greatest id) first, each once, at most `cap`. */
export function mergeById(known, fresh, cap) {
  const rows = new Map((known ?? []).map((row) => [row.id, row]));
  for (const row of fresh) rows.set(row.id, row);
  return [...rows.values()].sort((a, b) => b.id - a.id).slice(0, cap);
}

/** An empty store. */
export function createStore() {
  const slots = new Map();
  const listeners = new Map();
  const polled = new Map();
  let lastContact = 0;
  let skew = 0;

  const slot = (topic) => slots.get(topic) ?? { data: null, at: 0, error: null };

  function set(topic, next) {
    slots.set(topic, next);
    for (const listener of listeners.get(topic) ?? []) listener(next);
  }

  return {
    get: (topic) => slot(topic).data,
    slot,

    /** Stores new data and clears the error. */
    put: (topic, data) => set(topic, { data, at: Date.now(), error: null }),

    /** A request failed; the last data stays. */
    fail: (topic, error) => set(topic, { ...slot(topic), error }),

    /** Calls `listener(slot)` on every change of a topic. */
    on(topic, listener) {
      listeners.set(topic, [...(listeners.get(topic) ?? []), listener]);
    },

    /** Clears all topics at the end of a session. */
    clear() {
      for (const topic of slots.keys()) if (topic !== 'view') set(topic, { data: null, at: 0, error: null });
      lastContact = 0;
    },

    /** The stream sent data: topics that it did not change are still current. */
    touch() {
      lastContact = Date.now();
    },

    /** Marks a topic that is not on the stream: it is requested every `every` ms while it is seen. */
    asked(topic, every) {
      polled.set(topic, every);
    },

    /** The age of a topic's data in ms when it is stale, else 0. */
    staleness(topic) {
      const { data, at, error } = slot(topic);
      const every = polled.get(topic);
      const age = Date.now() - (error || every !== undefined ? at : Math.max(at, lastContact));
      return data !== null && age > STALE_AFTER_MS + 2 * (every ?? 0) ? age : 0;
    },

    /** Uses the server's clock to measure ages. */
    syncClock(serverTime) {
      const at = Date.parse(serverTime);
      if (Number.isFinite(at)) skew = at - Date.now();
    },

    /** The server's time now. */
    now: () => Date.now() + skew,
  };
}
