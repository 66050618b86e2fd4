/** Keeps the page live: a stream, reconnected with backoff; polling when streams do not last. */

import { sentence } from './format.js';
import { readEvents } from './sse.js';

const SILENCE_MS = 15_000;
const POLL_MS = 3_000;
const POLLS_BEFORE_STREAM = 3;
const TRIES_BEFORE_POLLING = 3;
const LASTED_MS = 10_000;
/** Statuses that a retry cannot fix. */
const FINAL = [401, 403, 404];

/** `onState({state, detail})` receives the connection state, `onEnd(error)` the end of the session. */
export function createLive({ api, feeds, store, onState, onEnd }) {
  let session = null;
  let wake = () => {};

  const sleep = (ms, signal) =>
    new Promise((done) => {
      const end = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', end);
        done();
      };
      const timer = setTimeout(end, ms);
      signal.addEventListener('abort', end);
      wake = end;
    });

  /** Reads one stream to its end; returns the error that ended it. */
  async function stream(signal) {
    const silence = new AbortController();
    const both = AbortSignal.any([signal, silence.signal]);
    let timer = 0;
    const alive = () => {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE_MS);
    };
    alive();
    try {
      const response = await api.stream('stream', both);
      let open = false;
      await readEvents(response.body, {
        onBytes() {
          alive();
          store.touch();
          if (open) return;
          open = true;
          onState({ state: 'live', detail: '' });
          // The stream does not repeat what happened before it was opened.
          feeds.refreshRest();
        },
        onEvent({ type, data }) {
          feeds.onStream(type, JSON.parse(data));
        },
      });
      return new Error('The server closed the stream.');
    } catch (error) {
      return silence.signal.aborted ? new Error('No data from the server for 15 s.') : error;
    } finally {
      clearTimeout(timer);
      silence.abort();
    }
  }

  /** Polls for a while; returns early when an unreachable server answers again. */
  async function poll(signal) {
    let unreachable = false;
    for (let round = 0; round < POLLS_BEFORE_STREAM && !signal.aborted; round += 1) {
      const error = await feeds.refresh('status');
      if (signal.aborted) return null;
      if (error && FINAL.includes(error.status)) return error;
      if (!error && unreachable) return null;
      unreachable = Boolean(error);
      onState(error ? lost(error) : { state: 'polling', detail: 'The live stream breaks off; polling every 3 s.' });
      if (!error) feeds.refreshRest();
      await sleep(Math.max(POLL_MS, (error?.retryAfter ?? 0) * 1000), signal);
    }
    return null;
  }

  function lost(error) {
    if (error.status === 429) {
      const wait = error.retryAfter ? ` Trying again in ${error.retryAfter} s.` : '';
      return { state: 'locked', detail: `${sentence(error.message)}${wait}` };
    }
    return { state: 'offline', detail: error.message };
  }

  async function run(signal) {
    let failures = 0;
    onState({ state: 'connecting', detail: '' });
    while (!signal.aborted) {
      const begun = Date.now();
      let error = await stream(signal);
      if (signal.aborted) return;
      failures = Date.now() - begun > LASTED_MS && error.status === undefined ? 1 : failures + 1;
      if ([401, 403].includes(error.status)) return void onEnd(error);
      if (error.status === 429 || error.status === 503) onState(lost(error));
      else onState({ state: 'reconnecting', detail: error.message });
      if (failures <= TRIES_BEFORE_POLLING) {
        const backoff = 250 * 2 ** failures * (0.75 + Math.random() / 2);
        await sleep(Math.max(backoff, (error.retryAfter ?? 0) * 1000), signal);
        continue;
      }
      error = await poll(signal);
      if (error && !signal.aborted) return void onEnd(error);
    }
  }

  return {
    start() {
      session?.abort();
      session = new AbortController();
      run(session.signal);
    },
    stop() {
      session?.abort();
      session = null;
    },
    /** Retries now: the network or the tab is back. */
    wake: () => wake(),
  };
}
