/** The audit trail: actor, old and new value, time and reason of each change; verified in place. */

import { attr, button, h, show, text } from '../dom.js';
import { breakable, count, setTime, shortTime, time, value } from '../format.js';
import { panel } from '../panel.js';
import { pill, setPill } from '../parts.js';
import { tail } from './tail.js';

/** Includes the path, so that deployments on one host do not share it. */
const REMEMBERED = `simops:${new URL('.', document.baseURI).pathname}:audit-head`;
const PAUSE_MS = 30_000;

function create(row) {
  return h(
    'li',
    { 'data-audit': row.id, class: 'audit-row' },
    h('span', { class: 'seal', title: 'Not verified yet' }, '·'),
    time(row.created_at),
    h('span', { class: 'actor' }, row.changed_by),
    h('span', { class: 'change' },
      h('span', { class: 'mono key' }, breakable(row.key)), ' ',
      h('del', null, value(row.old_value)),
      h('span', { 'aria-label': 'became' }, ' → '),
      h('ins', null, value(row.new_value)),
      row.reason ? h('span', { class: 'hint reason' }, row.reason) : null),
  );
}

/** The last head that this browser verified: rows up to it must never change. */
function remembered() {
  try {
    const { id, hash } = JSON.parse(localStorage.getItem(REMEMBERED) ?? 'null') ?? {};
    return Number.isInteger(id) && id > 0 && typeof hash === 'string' ? { id, hash } : null;
  } catch {
    return null;
  }
}

function remember(head) {
  try {
    if (head === null) localStorage.removeItem(REMEMBERED);
    else if (head.id > 0) localStorage.setItem(REMEMBERED, JSON.stringify({ id: head.id, hash: head.hash }));
  } catch {
    // Without storage there is no head to compare with.
  }
}

/** Verifies the trail, at most once per PAUSE_MS unless asked; `report({state, ...})` receives the result. */
function verifier(app, report) {
  let last = 0;
  let busy = false;
  return async function verify(asked) {
    if (busy || (!asked && Date.now() - last < PAUSE_MS)) return;
    busy = true;
    last = Date.now();
    report({ state: 'busy' });
    try {
      const head = remembered();
      const query = head ? `?head_id=${head.id}&head_hash=${encodeURIComponent(head.hash)}` : '';
      const answer = await app.api.get(`audit/verify${query}`);
      if (answer.ok) remember(answer.head);
      report(answer.ok ? { state: 'ok', rows: answer.rows, head: answer.head } : { state: 'bad', detail: answer.detail });
    } catch (error) {
      report({ state: 'unknown', detail: error.message });
    } finally {
      busy = false;
    }
  };
}

/** The panel. */
export function auditPanel(app) {
  return panel(app, { id: 'audit', title: 'Audit Trail', topic: 'audit' }, (body, tools) => {
    const state = pill({ 'data-testid': 'audit-verified', role: 'status' });
    const when = h('time', { class: 'hint' });
    const again = button('Verify', { class: 'quiet', 'data-testid': 'audit-verify', on: { click: () => verify(true) } });
    const what = h('span');
    const forget = button('Forget the head stored in this browser', { class: 'quiet', hidden: true, on: { click: () => { remember(null); verify(true); } } });
    const broken = h('p', { class: 'failure', role: 'alert', hidden: true, 'data-testid': 'audit-broken' }, what, ' ', forget);
    const list = tail(app, {
      topic: 'audit',
      label: 'Audit trail, newest first',
      noun: 'change',
      create,
      update: seal,
      nothing: 'Nothing has been changed yet.',
    });
    tools.append(when, state, again);
    body.append(broken, list.frame);
    let verdict = { state: 'busy' };

    /** Marks a row that lies within the verified part. */
    function seal(node, row) {
      const mark = node.firstElementChild;
      const held = verdict.state === 'ok' && row.id <= verdict.head.id;
      text(mark, held ? '✓' : verdict.state === 'bad' ? '!' : '·');
      attr(mark, 'data-tone', verdict.state === 'bad' ? 'bad' : null);
      attr(mark, 'title', held ? 'Verified: its hash follows from those before it' : verdict.state === 'bad' ? 'Verification failed' : 'Not verified yet');
    }

    const verify = verifier(app, (next) => {
      if (next.state !== 'busy' || verdict.state !== 'ok') verdict = next;
      const words = { busy: 'verifying', ok: `verified: ${count(next.rows)} rows`, bad: 'verification failed', unknown: 'not verified' };
      if (next.state !== 'busy' || !state.textContent) setPill(state, next.state, words[next.state]);
      attr(state, 'data-tone', { ok: 'good', bad: 'bad', unknown: 'warn', busy: 'busy' }[verdict.state]);
      attr(state, 'title', next.head ? `Head ${next.head.id}: ${next.head.hash}` : next.detail ?? null);
      attr(again, 'disabled', next.state === 'busy');
      if (next.state === 'busy') return;
      setTime(when, new Date(app.store.now()).toISOString(), (iso) => `at ${shortTime(iso)}`);
      show(broken, next.state === 'bad' || next.state === 'unknown');
      show(forget, next.state === 'bad' && remembered() !== null);
      text(what, next.state === 'bad' ? `Verification of the audit trail failed: ${next.detail}` : `The trail could not be verified: ${next.detail ?? ''}`);
      list.redraw();
    });

    app.store.on('refreshed', ({ data }) => data && verify(true));
    return (rows) => {
      list.set(rows);
      const unsealed = verdict.state !== 'ok' || (rows[0]?.id ?? 0) > verdict.head.id;
      if (unsealed) verify(false);
    };
  });
}
