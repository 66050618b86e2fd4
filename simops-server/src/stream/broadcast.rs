//! Looks for what is new, and tells it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use futures_util::FutureExt;
use simops::control::RunState;
use simops::event::Event;
use simops::ops::EventsQuery;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::{error, warn};

use super::Streams;
use super::news::{Items, News, frame};
use crate::problem::Problem;
use crate::snapshot::Snapshot;

/// How often to look when nothing is notified.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often to look while hosts are about to confirm something.
const LOOK_OFTEN: Duration = Duration::from_millis(250);
/// Notifications that follow each other faster are one.
const NOT_FASTER: Duration = Duration::from_millis(50);
/// Failures in a row after which the streams end.
const FAILURES: u32 = 3;
/// Rows of one message.
const ROWS: usize = 100;

/// What listeners know.
pub(super) struct Told {
    status: Arc<Snapshot>,
    metrics: Bytes,
    counted: Instant,
    audit_id: i64,
    event_id: i64,
    alerts: Bytes,
}

impl Told {
    /// What a new listener must know first.
    pub(super) fn first_words(&self) -> Vec<News> {
        vec![News::Status(Arc::clone(&self.status)), News::Frame(self.metrics.clone())]
    }
}

impl Streams {
    /// What is known before the first news.
    pub(super) async fn begin(&self) -> Result<Told, Problem> {
        let audit = self.ops.audit(1, 0).await?.items;
        let events = self.newest_events(1).await?;
        Ok(Told {
            status: self.snapshots.now(&self.ops).await?,
            metrics: self.metrics().await?,
            counted: Instant::now(),
            audit_id: audit.first().map_or(0, |row| row.id),
            event_id: events.first().map_or(0, |event| event.id),
            alerts: self.alerts().await?,
        })
    }

    /// Tells news until nobody listens, the store stays away, or the server shuts down.
    pub(super) async fn work(self: Arc<Self>, revision: watch::Receiver<u64>) {
        if AssertUnwindSafe(self.follow(revision)).catch_unwind().await.is_err() {
            error!("the broadcaster of streams panicked; the streams end");
            self.end().await;
        }
    }

    async fn follow(&self, mut revision: watch::Receiver<u64>) {
        let mut closed = self.closed.subscribe();
        let (mut pause, mut failures) = (LOOK_EVERY, 0);
        loop {
            let noticed = async {
                // Without a store there is nothing to be notified of.
                if let Ok(Err(_)) = timeout(pause, revision.changed()).await {
                    sleep(pause).await;
                }
            };
            tokio::select! {
                _ = closed.wait_for(|closed| *closed) => return,
                () = noticed => {}
            }
            let mut told = self.told.lock().await;
            let Some(known) = told.as_mut().filter(|_| self.open() > 0) else {
                *told = None;
                return;
            };
            match self.tell_news(known).await {
                Ok(()) => failures = 0,
                Err(problem) => {
                    failures += 1;
                    warn!(?problem, failures, "there is no news for the streams");
                }
            }
            pause = if is_settling(known.status.view.run_state) { LOOK_OFTEN } else { LOOK_EVERY };
            drop(told);
            if failures >= FAILURES {
                return self.end().await;
            }
            sleep(NOT_FASTER).await;
        }
    }

    async fn end(&self) {
        *self.told.lock().await = None;
        self.tell(News::Over);
    }

    /// Tells what has changed since `told`.
    pub(super) async fn tell_news(&self, told: &mut Told) -> Result<(), Problem> {
        let status = self.snapshots.now(&self.ops).await?;
        if !status.same(&told.status) {
            self.tell(News::Status(Arc::clone(&status)));
            told.status = status;
        }
        loop {
            let rows = self.ops.audit_since(told.audit_id).await?;
            let Some(newest) = rows.first() else { break };
            self.tell(News::Frame(frame("audit", &Items { items: &rows })?));
            told.audit_id = newest.id;
        }
        let mut events = self.newest_events(ROWS).await?;
        events.retain(|event| event.id > told.event_id);
        if let Some(newest) = events.first() {
            self.tell(News::Frame(frame("events", &Items { items: &events })?));
            told.event_id = newest.id;
        }
        let alerts = self.alerts().await?;
        if alerts != told.alerts {
            self.tell(News::Frame(alerts.clone()));
            told.alerts = alerts;
        }
        if told.counted.elapsed() >= LOOK_OFTEN {
            let metrics = self.metrics().await?;
            told.counted = Instant::now();
            if metrics != told.metrics {
                self.tell(News::Frame(metrics.clone()));
                told.metrics = metrics;
            }
        }
        Ok(())
    }

    /// Everything a listener needs that has missed something.
    pub(super) async fn everything(&self) -> Result<Vec<News>, Problem> {
        let audit = self.ops.audit(100, 0).await?.items;
        let events = self.newest_events(ROWS).await?;
        Ok(vec![
            News::Status(self.snapshots.now(&self.ops).await?),
            News::Frame(self.metrics().await?),
            News::Frame(frame("audit", &Items { items: &audit })?),
            News::Frame(frame("events", &Items { items: &events })?),
            News::Frame(self.alerts().await?),
        ])
    }

    /// The newest alert of each rate.
    async fn alerts(&self) -> Result<Bytes, Problem> {
        frame("alert", &Items { items: &self.ops.newest_alerts().await? })
    }

    async fn metrics(&self) -> Result<Bytes, Problem> {
        frame("metrics", &self.ops.run_metrics(None, 24).await?)
    }

    async fn newest_events(&self, limit: usize) -> Result<Vec<Event>, Problem> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let query = EventsQuery { limit, ..EventsQuery::default() };
        Ok(self.ops.events(&query).await?.items)
    }

    fn tell(&self, news: News) {
        // Without a listener there is nobody to tell.
        let _ = self.news.send(news);
    }
}

fn is_settling(state: RunState) -> bool {
    matches!(state, RunState::Starting | RunState::Pausing | RunState::Stopping)
}
