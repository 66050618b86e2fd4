/** What the page knows: one slot per topic with its data, when it was last known good, and what went wrong. */

const STALE_AFTER_MS = 10_000;

/** Rows of both lists, newest (greatest id) first, each once, at most `cap`. */
export function mergeById(known, fresh, cap) {
  const rows = new Map((known ?? []).map((row) => [row.id, row]));
  for (const row of fresh) rows.set(row.id, row);
  return [...rows.values()].sort((a, b) => b.id - a.id).slice(0, cap);
}

/** A store nobody has written to yet. */
export function createStore() {
  const slots = new Map();
  const listeners = new Map();
  const polled = new Map();
  let heardAt = 0;
  let skew = 0;

  const slot = (topic) => slots.get(topic) ?? { data: null, at: 0, error: null };

  function set(topic, next) {
    slots.set(topic, next);
    for (const listener of listeners.get(topic) ?? []) listener(next);
  }

  return {
    get: (topic) => slot(topic).data,
    slot,

    /** New data; an earlier error is over. */
    put: (topic, data) => set(topic, { data, at: Date.now(), error: null }),

    /** The data could not be had; what was known stays. */
    fail: (topic, error) => set(topic, { ...slot(topic), error }),

    /** Calls `listener(slot)` on every change of a topic. */
    on(topic, listener) {
      listeners.set(topic, [...(listeners.get(topic) ?? []), listener]);
    },

    /** Forgets everything, at the end of a session. */
    clear() {
      for (const topic of slots.keys()) if (topic !== 'view') set(topic, { data: null, at: 0, error: null });
      heardAt = 0;
    },

    /** The stream has been heard: what it has not changed is still true. */
    heard() {
      heardAt = Date.now();
    },

    /** A topic that the stream tells nothing of: it is asked for every so many ms while it is seen. */
    asked(topic, every) {
      polled.set(topic, every);
    },

    /** How old a topic's data is in ms when that is worth saying, else 0. */
    staleness(topic) {
      const { data, at, error } = slot(topic);
      const every = polled.get(topic);
      const age = Date.now() - (error || every !== undefined ? at : Math.max(at, heardAt));
      return data !== null && age > STALE_AFTER_MS + 2 * (every ?? 0) ? age : 0;
    },

    /** Takes the server's clock as the one ages are measured by. */
    syncClock(serverTime) {
      const at = Date.parse(serverTime);
      if (Number.isFinite(at)) skew = at - Date.now();
    },

    /** The server's time now. */
    now: () => Date.now() + skew,
  };
}
