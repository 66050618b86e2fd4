/** Client of `api/admin`: credentials, time-outs, problem+json, and an idempotency key on every write. */

import { headerText } from './session.js';

const READ_LIMIT_MS = 15_000;
const WRITE_LIMIT_MS = 60_000;
const RETRY_AFTER_MS = [400, 1_500];

/** An error response, or no response at all (status 0). */
export class ApiError extends Error {
  constructor(status, detail, { title = '', errors = [], retryAfter = null } = {}) {
    super(detail);
    Object.assign(this, { status, title, errors, retryAfter });
  }
}

function uuid() {
  if (crypto.randomUUID) return crypto.randomUUID();
  // Outside a secure context only getRandomValues exists.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

async function problem(response) {
  const body = await response.json().catch(() => null);
  const retryAfter = Number.parseInt(response.headers.get('retry-after') ?? '', 10);
  const known = body && typeof body.detail === 'string';
  return new ApiError(response.status, known ? body.detail : `The server answered ${response.status}.`, {
    title: known ? body.title : '',
    errors: Array.isArray(body?.errors) ? body.errors : [],
    retryAfter: Number.isFinite(retryAfter) ? retryAfter : null,
  });
}

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** The API as the session's actor. */
export function createApi(session) {
  const url = (path) => new URL(`api/admin/${path}`, document.baseURI);
  const headers = (more) => ({
    Authorization: `Bearer ${session.token}`,
    'X-Admin-User': headerText(session.actor) || 'admin',
    ...more,
  });

  async function send(path, init, limit) {
    const timer = AbortSignal.timeout(limit);
    try {
      return await fetch(url(path), { cache: 'no-store', referrerPolicy: 'no-referrer', signal: timer, ...init });
    } catch (cause) {
      if (timer.aborted) {
        throw new ApiError(-1, `No answer within ${limit / 1000} s. Whether it took effect shows in the status.`);
      }
      if (cause.name === 'AbortError') throw cause;
      throw new ApiError(0, 'The server cannot be reached.');
    }
  }

  async function json(response) {
    if (!response.ok) throw await problem(response);
    try {
      return await response.json();
    } catch {
      throw new ApiError(response.status, 'The answer is not JSON. Is a proxy answering instead of simops?');
    }
  }

  return {
    /** GET; returns the JSON or throws an `ApiError`. */
    async get(path) {
      return json(await send(path, { headers: headers({ Accept: 'application/json' }) }, READ_LIMIT_MS));
    },

    /** A write; repeated under the same idempotency key while the network fails. */
    async write(path, body, method = 'POST') {
      const init = {
        method,
        headers: headers({ 'Content-Type': 'application/json', 'Idempotency-Key': uuid() }),
        body: JSON.stringify(body),
      };
      for (let attempt = 0; ; attempt += 1) {
        try {
          return await json(await send(path, init, WRITE_LIMIT_MS));
        } catch (error) {
          const worthwhile = [0, 502, 504].includes(error.status) && attempt < RETRY_AFTER_MS.length;
          if (!worthwhile) throw error;
          await sleep(RETRY_AFTER_MS[attempt]);
        }
      }
    },

    /** A stream of server-sent events: the open response. */
    async stream(path, signal) {
      // `fetch`, because an `EventSource` cannot send the token.
      const response = await fetch(url(path), {
        cache: 'no-store',
        referrerPolicy: 'no-referrer',
        signal,
        headers: headers({ Accept: 'text/event-stream' }),
      }).catch((cause) => {
        if (cause.name === 'AbortError') throw cause;
        throw new ApiError(0, 'The server cannot be reached.');
      });
      if (!response.ok) throw await problem(response);
      if (!(response.headers.get('content-type') ?? '').startsWith('text/event-stream')) {
        throw new ApiError(response.status, 'The live stream is not available here.');
      }
      return response;
    },
  };
}
