/** Entry point: assembles session, API client, store, live feed and views. */

import { createApi } from './api.js';
import { confirm } from './confirm.js';
import { show } from './dom.js';
import { createFeeds } from './feeds.js';
import { createLive } from './live.js';
import { banner } from './panels/banner.js';
import { connectCard } from './panels/connect.js';
import { createSession } from './session.js';
import { createStore } from './store.js';
import { createToast } from './toast.js';
import { createViews } from './views.js';

const session = createSession();
const store = createStore();
const api = createApi(session);
const toast = createToast();
const app = { session, store, api, toast, confirm, view: () => '', disconnect };
app.feeds = createFeeds(app);

const live = createLive({
  api,
  feeds: app.feeds,
  store,
  onState: (state) => store.put('live', state),
  onEnd: close,
});

const connect = connectCard(app, open);
const views = createViews(app);
const top = banner(app, views.navigation());
document.getElementById('app').append(top.bar, connect.card, views.main, top.notice, toast.region);

/** Requests the status with the session's token and opens the views on success; returns the error, if any. */
async function open() {
  const error = await app.feeds.refresh('status');
  if (error) {
    // A rejected token is dropped; after a network failure it is kept.
    if (error.status === 401) session.close();
    connect.fail(error);
    return error;
  }
  connect.clear();
  view(true);
  app.feeds.refreshRest();
  live.start();
  return null;
}

/** Ends the session; `error` is the cause unless the operator disconnected. */
function close(error) {
  live.stop();
  if (!error || error.status === 401) session.close();
  store.clear();
  view(false);
  connect.clear();
  if (error) connect.fail(error);
  connect.focus();
}

/** Ends the session at the operator's request and clears the page. */
function disconnect() {
  close(null);
  window.location.reload();
}

function view(connected) {
  show(connect.card, !connected);
  show(views.main, connected);
  top.connected(connected);
  if (connected) views.follow();
}

view(false);
if (session.token) connect.submit();
else connect.focus();

setInterval(() => store.put('tick', Date.now()), 1_000);
window.addEventListener('online', () => live.wake());
document.addEventListener('visibilitychange', () => {
  if (!document.hidden && store.get('live')?.state !== 'live') live.wake();
});
