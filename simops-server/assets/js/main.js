/** Puts the console together: session, API, store, live feed, and the panels on the page. */

import { createApi } from './api.js';
import { confirm } from './confirm.js';
import { h, show } from './dom.js';
import { createFeeds } from './feeds.js';
import { createLive } from './live.js';
import { auditPanel } from './panels/audit.js';
import { banner } from './panels/banner.js';
import { budgetPanel } from './panels/budget.js';
import { configPanel } from './panels/config.js';
import { connectCard } from './panels/connect.js';
import { controlsPanel } from './panels/controls.js';
import { eventsPanel } from './panels/events.js';
import { guardrailsPanel } from './panels/guardrails.js';
import { hostsPanel } from './panels/hosts.js';
import { metricsPanel } from './panels/metrics.js';
import { runsPanel } from './panels/runs.js';
import { statusPanel } from './panels/status.js';
import { createSession } from './session.js';
import { createStore } from './store.js';
import { createToast } from './toast.js';

const COLUMNS = [
  [controlsPanel, configPanel],
  [statusPanel, budgetPanel, guardrailsPanel, hostsPanel, metricsPanel],
  [eventsPanel, auditPanel, runsPanel],
];

const session = createSession();
const store = createStore();
const api = createApi(session);
const feeds = createFeeds(api, store);
const toast = createToast();
const app = { session, store, api, feeds, toast, confirm, disconnect: () => close(null) };

const live = createLive({
  api,
  feeds,
  store,
  onState: (state) => store.put('live', state),
  onEnd: close,
});

const connect = connectCard(app, open);
const columns = COLUMNS.map((panels) => h('div', { class: 'column' }, panels.map((make) => make(app))));
const board = h('main', { id: 'main', class: 'board', tabindex: '-1' }, columns);
const top = banner(app);
document.getElementById('app').append(top.bar, connect.card, board, top.notice, toast.region);

/** Asks for the status with the session's token; the page opens only on an answer. */
async function open() {
  const error = await feeds.refresh('status');
  if (error) {
    // A refused token is not kept; one that could not be tried is.
    if (error.status === 401) session.close();
    connect.fail(error);
    return;
  }
  connect.clear();
  view(true);
  feeds.refreshRest();
  live.start();
}

/** Ends the session; `error` says why, when it was not the person's wish. */
function close(error) {
  live.stop();
  if (!error || error.status === 401) session.close();
  store.clear();
  view(false);
  connect.clear();
  if (error) connect.fail(error);
  connect.focus();
}

// On a narrow page the long settings come last; elsewhere they stand under the controls.
const narrow = window.matchMedia('(max-width: 859px)');
const placeSettings = () => columns[narrow.matches ? 2 : 0].append(document.getElementById('config'));
narrow.addEventListener('change', placeSettings);
placeSettings();

function view(connected) {
  show(connect.card, !connected);
  show(board, connected);
  top.connected(connected);
}

view(false);
if (session.token) connect.submit();
else connect.focus();

setInterval(() => store.put('tick', Date.now()), 1_000);
window.addEventListener('online', () => live.wake());
document.addEventListener('visibilitychange', () => {
  if (!document.hidden && store.get('live')?.state !== 'live') live.wake();
});
