//! The open streams: polls for changes while there are any, and broadcasts them.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use futures_util::FutureExt;
use simops::control::RunState;
use simops::event::Event;
use simops::ops::{EventsQuery, Ops};
use tokio::sync::{Mutex, Semaphore, broadcast, watch};
use tokio::time::{Instant, sleep, timeout};
use tracing::{error, warn};

use super::{Items, Message, frame};
use crate::problem::Problem;
use crate::snapshot::{Snapshot, Snapshots};

/// Maximum number of open streams.
pub const MAX_STREAMS: usize = 256;
/// Messages that a subscriber may lag behind before it is sent the whole state again.
const BACKLOG: usize = 32;

/// Poll interval without notifications.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Poll interval while hosts are about to confirm a change.
const SETTLING_POLL_INTERVAL: Duration = Duration::from_millis(250);
/// Minimum interval between broadcasts.
const MIN_INTERVAL: Duration = Duration::from_millis(50);
/// Consecutive failures that end the streams.
const MAX_FAILURES: u32 = 3;
/// Maximum rows of a message.
const MAX_ROWS: usize = 100;

/// The open streams of a server.
pub struct Streams {
    pub(super) ops: Arc<Ops>,
    snapshots: Arc<Snapshots>,
    pub(super) messages: broadcast::Sender<Message>,
    pub(super) permits: Arc<Semaphore>,
    // `None` while the broadcaster does not run.
    pub(super) last_sent: Mutex<Option<LastSent>>,
    pub(super) closed: watch::Sender<bool>,
}

/// The last state that was sent to subscribers.
pub(super) struct LastSent {
    status: Arc<Snapshot>,
    metrics: Bytes,
    counted: Instant,
    audit_id: i64,
    event_id: i64,
    alerts: Bytes,
}

impl LastSent {
    /// The first messages of a new stream.
    pub(super) fn first_messages(&self) -> Vec<Message> {
        vec![Message::Status(Arc::clone(&self.status)), Message::Frame(self.metrics.clone())]
    }
}

impl Streams {
    pub(crate) fn new(ops: Arc<Ops>, snapshots: Arc<Snapshots>) -> Self {
        Self {
            ops,
            snapshots,
            messages: broadcast::Sender::new(BACKLOG),
            permits: Arc::new(Semaphore::new(MAX_STREAMS)),
            last_sent: Mutex::new(None),
            closed: watch::Sender::new(false),
        }
    }

    /// The number of open streams.
    pub fn open(&self) -> usize {
        MAX_STREAMS - self.permits.available_permits()
    }

    /// Ends every stream and refuses new ones.
    pub fn close(&self) {
        self.permits.close();
        self.closed.send_replace(true);
    }

    /// Reads everything that is broadcast.
    pub(super) async fn read_all(&self) -> Result<LastSent, Problem> {
        let audit = self.ops.audit(1, 0).await?.items;
        let events = self.newest_events(MAX_ROWS).await?;
        Ok(LastSent {
            status: self.snapshots.now(&self.ops).await?,
            metrics: self.metrics().await?,
            counted: Instant::now(),
            audit_id: audit.first().map_or(0, |row| row.id),
            event_id: newest_id(&events).unwrap_or(0),
            alerts: self.alerts().await?,
        })
    }

    /// Broadcasts changes until there are no subscribers, the store is unavailable or the server shuts
    /// down.
    pub(super) async fn run(self: Arc<Self>, revision: watch::Receiver<u64>) {
        if AssertUnwindSafe(self.follow(revision)).catch_unwind().await.is_err() {
            error!(code = "broadcaster_panicked", "broadcaster panicked; streams closed");
            self.end().await;
        }
    }

    async fn follow(&self, mut revision: watch::Receiver<u64>) {
        let mut closed = self.closed.subscribe();
        let (mut pause, mut failures) = (POLL_INTERVAL, 0);
        loop {
            let change = async {
                // A store that is gone sends no notifications.
                if let Ok(Err(_)) = timeout(pause, revision.changed()).await {
                    sleep(pause).await;
                }
            };
            tokio::select! {
                _ = closed.wait_for(|closed| *closed) => return,
                () = change => {}
            }
            let mut guard = self.last_sent.lock().await;
            let Some(last_sent) = guard.as_mut().filter(|_| self.open() > 0) else {
                *guard = None;
                return;
            };
            match self.broadcast_changes(last_sent).await {
                Ok(()) => failures = 0,
                Err(problem) => {
                    failures += 1;
                    warn!(
                        code = "broadcast_failed",
                        ?problem,
                        failures,
                        "cannot read changes for streams"
                    );
                }
            }
            pause = if is_settling(last_sent.status.view.run_state) {
                SETTLING_POLL_INTERVAL
            } else {
                POLL_INTERVAL
            };
            drop(guard);
            if failures >= MAX_FAILURES {
                return self.end().await;
            }
            sleep(MIN_INTERVAL).await;
        }
    }

    async fn end(&self) {
        *self.last_sent.lock().await = None;
        self.send(Message::End);
    }

    /// Broadcasts what has changed since `last`.
    pub(super) async fn broadcast_changes(&self, last: &mut LastSent) -> Result<(), Problem> {
        let status = self.snapshots.now(&self.ops).await?;
        if !status.same(&last.status) {
            self.send(Message::Status(Arc::clone(&status)));
            last.status = status;
        }
        loop {
            let rows = self.ops.audit_since(last.audit_id).await?;
            let Some(newest) = rows.first() else { break };
            self.send(Message::Frame(frame("audit", &Items { items: &rows })?));
            last.audit_id = newest.id;
        }
        let mut events = self.newest_events(MAX_ROWS).await?;
        events.retain(|event| event.id > last.event_id);
        if let Some(newest) = newest_id(&events) {
            self.send(Message::Frame(frame("events", &Items { items: &events })?));
            last.event_id = newest;
        }
        let alerts = self.alerts().await?;
        if alerts != last.alerts {
            self.send(Message::Frame(alerts.clone()));
            last.alerts = alerts;
        }
        if last.counted.elapsed() >= SETTLING_POLL_INTERVAL {
            let metrics = self.metrics().await?;
            last.counted = Instant::now();
            if metrics != last.metrics {
                self.send(Message::Frame(metrics.clone()));
                last.metrics = metrics;
            }
        }
        Ok(())
    }

    /// The whole state, for a subscriber that missed messages.
    pub(super) async fn whole_state(&self) -> Result<Vec<Message>, Problem> {
        let audit = self.ops.audit(100, 0).await?.items;
        let events = self.newest_events(MAX_ROWS).await?;
        Ok(vec![
            Message::Status(self.snapshots.now(&self.ops).await?),
            Message::Frame(self.metrics().await?),
            Message::Frame(frame("audit", &Items { items: &audit })?),
            Message::Frame(frame("events", &Items { items: &events })?),
            Message::Frame(self.alerts().await?),
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

    fn send(&self, message: Message) {
        // Fails without subscribers.
        let _ = self.messages.send(message);
    }
}

/// The id of the event that was stored last. Its time may be before that of another.
fn newest_id(events: &[Event]) -> Option<i64> {
    events.iter().map(|event| event.id).max()
}

fn is_settling(state: RunState) -> bool {
    matches!(state, RunState::Starting | RunState::Pausing | RunState::Stopping)
}
