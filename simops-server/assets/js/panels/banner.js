/** The strip at the top: where this is, whether it can be changed, what the run does, how live the page is. */

import { attr, button, h, show, text } from '../dom.js';
import { duration, sentence, words } from '../format.js';
import { pill, setPill } from '../parts.js';

const LIVE_WORDS = {
  connecting: 'Connecting…',
  live: 'Live',
  reconnecting: 'Reconnecting…',
  polling: 'Polling',
  offline: 'Offline',
  locked: 'Locked out',
};
const NOTICE_AFTER_MS = 2_500;
const SECTIONS = [
  ['controls', 'Controls'], ['config', 'Settings'], ['status', 'Status'], ['budget', 'Budget'],
  ['guardrails', 'Guardrails'], ['hosts', 'Hosts'], ['metrics', 'Metrics'], ['events', 'Events'],
  ['audit', 'Audit'], ['runs', 'Runs'],
];

/** The banner, and the notice that explains why the page is not live. */
export function banner(app) {
  const environment = h('strong', { class: 'environment', 'data-testid': 'banner-environment' });
  const write = h('span', { class: 'gate', 'data-testid': 'banner-write' });
  const run = pill({ role: 'status', 'aria-label': 'Run state', 'data-testid': 'run-state' });
  const runId = h('span', { class: 'mono run-name', 'data-testid': 'run-name' });
  const liveness = pill({ role: 'status', 'aria-label': 'Connection', 'data-testid': 'live-state' });
  const who = h('span', { class: 'who', 'data-testid': 'who' });
  const leave = button('Disconnect', { class: 'quiet', 'data-testid': 'disconnect', on: { click: app.disconnect } });
  const here = h('div', { class: 'banner-group' }, environment, write);
  const now = h('div', { class: 'banner-group grow' }, run, runId);
  const nav = h(
    'nav',
    { class: 'sections', 'aria-label': 'Panels' },
    SECTIONS.map(([id, label]) => h('a', { href: `#${id}` }, label)),
  );
  const me = h('div', { class: 'banner-row second' }, nav, who, leave);
  const bar = h(
    'header',
    { class: 'banner' },
    h('div', { class: 'banner-row' }, h('h1', { class: 'logo' }, 'simops'), here, now, liveness),
    me,
  );
  const notice = h('p', { class: 'notice', hidden: true });
  let troubleSince = 0;

  app.store.on('status', ({ data }) => {
    if (!data) return;
    const production = data.environment === 'production';
    attr(bar, 'data-environment', data.environment);
    text(environment, data.environment.toUpperCase());
    text(write, data.admin_write_enabled ? 'Write controls enabled' : 'Read-only');
    attr(write, 'data-open', String(Boolean(data.admin_write_enabled)));
    setPill(run, data.run_state, words(data.run_state));
    text(runId, data.viewer_ops?.run_id || 'no run');
    attr(runId, 'title', data.viewer_ops?.run_id || null);
    text(who, data.actor?.id ?? '');
    attr(who, 'title', data.actor?.ip ? `from ${data.actor.ip}` : null);
    document.title = `${words(data.run_state)} · ${production ? 'PRODUCTION' : 'development'} · simops`;
  });

  function explain() {
    const state = app.store.get('live');
    const trouble = state && !['live', 'connecting'].includes(state.state);
    if (!trouble) troubleSince = 0;
    else troubleSince ||= Date.now();
    // A hiccup is not worth a notice; the pill shows it.
    show(notice, Boolean(trouble) && Date.now() - troubleSince >= NOTICE_AFTER_MS);
    if (!trouble) return;
    const age = app.store.staleness('status');
    const old = age ? ` What is shown is ${duration(age)} old.` : '';
    text(notice, `${LIVE_WORDS[state.state] ?? state.state}: ${old ? sentence(state.detail) : state.detail}${old}`);
  }

  app.store.on('live', ({ data }) => {
    if (data) {
      setPill(liveness, data.state, LIVE_WORDS[data.state] ?? data.state);
      attr(liveness, 'title', data.detail || null);
    }
    explain();
  });
  app.store.on('tick', explain);

  return {
    bar,
    notice,
    connected(yes) {
      for (const group of [here, now, liveness, me]) show(group, yes);
      if (yes) return;
      attr(bar, 'data-environment', null);
      document.title = 'simops console';
    },
  };
}
