/** The banner: environment, write gate, run state, connection state, refresh. */

import { attr, button, h, show, text } from '../dom.js';
import { duration, sentence, shortTime, words } from '../format.js';
import { pill, setPill } from '../parts.js';
import { nextTheme, theme } from '../theme.js';

const LIVE_WORDS = {
  connecting: 'Connecting…',
  live: 'Live',
  reconnecting: 'Reconnecting…',
  polling: 'Polling',
  offline: 'Offline',
  locked: 'Locked out',
};
const NOTICE_AFTER_MS = 2_500;
const THEMES = { auto: 'as the system', light: 'light', dark: 'dark' };

function themeButton() {
  const node = button('', { class: 'quiet theme', 'data-testid': 'theme' });
  const say = () => {
    text(node, { auto: '◐', light: '○', dark: '●' }[theme()]);
    attr(node, 'aria-label', `Colours: ${THEMES[theme()]}. Change`);
    attr(node, 'title', `Colours: ${THEMES[theme()]}`);
  };
  node.addEventListener('click', () => {
    nextTheme();
    say();
  });
  say();
  return node;
}

/** The banner, and the notice that explains why the page is not live. */
export function banner(app, navigation) {
  const environment = h('strong', { class: 'environment', 'data-testid': 'banner-environment' });
  const write = h('span', { class: 'gate', 'data-testid': 'banner-write' });
  const run = pill({ role: 'status', 'aria-label': 'Run state', 'data-testid': 'run-state' });
  const runId = h('span', { class: 'mono run-name', 'data-testid': 'run-name' });
  const liveness = pill({ role: 'status', 'aria-label': 'Connection', 'data-testid': 'live-state' });
  const who = h('span', { class: 'who', 'data-testid': 'who' });
  const refreshed = h('span', { class: 'refreshed', role: 'status', 'data-testid': 'refreshed' });
  const refresh = button('Refresh', { class: 'quiet', 'data-testid': 'refresh', on: { click: refreshAll } });
  const leave = button('Disconnect', { class: 'quiet', 'data-testid': 'disconnect', on: { click: app.disconnect } });
  const here = h('div', { class: 'banner-group here' }, environment, write);
  const now = h('div', { class: 'banner-group now' }, run, runId);
  const me = h('div', { class: 'banner-group me' }, liveness, refreshed, refresh, who, leave);
  const bar = h(
    'header',
    { class: 'banner' },
    h('div', { class: 'banner-row' },
      h('h1', { class: 'logo' }, 'simops'), here, navigation.node, now, me, themeButton()),
  );
  const explanation = h('p', { role: 'status' });
  const hide = button('Dismiss', { class: 'quiet', on: { click: () => { dismissed = app.store.get('live')?.state; explain(); } } });
  const notice = h('div', { class: 'notice', hidden: true, 'data-testid': 'notice' }, explanation, hide);
  let troubleSince = 0;
  // The notice covers part of the page, so it can be dismissed until the state changes.
  let dismissed = null;

  /** Requests every topic again and says when that was done, or what failed. */
  async function refreshAll() {
    attr(refresh, 'disabled', true);
    text(refreshed, 'Refreshing…');
    const errors = await app.feeds.refreshAll();
    const at = shortTime(new Date(app.store.now()).toISOString());
    text(refreshed, errors.length ? `Refresh incomplete at ${at} UTC` : `Refreshed at ${at} UTC`);
    attr(refreshed, 'title', errors.map((error) => error.message).join('\n') || null);
    attr(refresh, 'disabled', null);
  }

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
    // A short interruption shows in the pill only.
    if (dismissed !== state?.state) dismissed = null;
    show(notice, Boolean(trouble) && !dismissed && Date.now() - troubleSince >= NOTICE_AFTER_MS);
    if (!trouble) return;
    const age = app.store.staleness('status');
    const old = age ? ` What is shown is ${duration(age)} old.` : '';
    text(explanation, `${LIVE_WORDS[state.state] ?? state.state}: ${old ? sentence(state.detail) : state.detail}${old}`);
  }

  app.store.on('live', ({ data }) => {
    if (data) {
      setPill(liveness, data.state, LIVE_WORDS[data.state] ?? data.state);
      attr(liveness, 'title', data.detail || null);
    }
    explain();
  });
  app.store.on('tick', explain);

  app.store.on('rollups', ({ data }) => {
    const badge = navigation.badge('visitors');
    const { critical = 0, warning = 0 } = data?.alerts?.counts ?? {};
    show(badge, critical + warning > 0);
    text(badge, critical + warning);
    attr(badge, 'data-tone', critical > 0 ? 'bad' : 'warn');
    attr(badge, 'title', `${critical} critical, ${warning} warning`);
  });

  return {
    bar,
    notice,
    connected(yes) {
      for (const group of [here, navigation.node, now, me]) show(group, yes);
      if (yes) return;
      text(refreshed, '');
      attr(bar, 'data-environment', null);
      document.title = 'simops console';
    },
  };
}
