//! Server-sent events: one broadcaster per server, which runs only while there are subscribers.

mod broadcaster;
mod message;
mod subscriber;

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use simops::ops::Ops;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, TryAcquireError, broadcast, watch};

use crate::access::Actor;
use crate::problem::Problem;
use crate::snapshot::Snapshots;
use broadcaster::LastSent;
use message::Message;
use subscriber::Subscriber;

/// Maximum number of open streams.
pub const MAX_STREAMS: usize = 256;
/// Messages that a subscriber may lag behind before it is sent the whole state again.
const BACKLOG: usize = 32;

/// The open streams of a server.
pub struct Streams {
    ops: Arc<Ops>,
    snapshots: Arc<Snapshots>,
    messages: broadcast::Sender<Message>,
    permits: Arc<Semaphore>,
    // `None` while the broadcaster does not run.
    last_sent: Mutex<Option<LastSent>>,
    closed: watch::Sender<bool>,
}

/// Counts an open stream until it is dropped.
type StreamPermit = OwnedSemaphorePermit;

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

    /// Opens a stream, beginning with the current status and metrics.
    ///
    /// # Errors
    /// 503 if too many streams are open, the server is shutting down or the store is unavailable.
    pub(crate) async fn subscribe(self: &Arc<Self>, actor: Actor) -> Result<Subscriber, Problem> {
        let permit = self.permit()?;
        let mut last_sent = self.last_sent.lock().await;
        // Nothing is broadcast while the lock is held, so no message falls between the first ones
        // and the subscription.
        match last_sent.as_mut() {
            Some(last_sent) => self.broadcast_changes(last_sent).await?,
            None => {
                // Watched before the first read, so that a change right after it is noticed.
                let revision = self.ops.store().watch();
                *last_sent = Some(self.read_all().await?);
                tokio::spawn(Arc::clone(self).run(revision));
            }
        }
        let first = last_sent.as_ref().map(LastSent::first_messages).unwrap_or_default();
        Ok(Subscriber::new(Arc::clone(self), permit, actor, first))
    }

    fn permit(&self) -> Result<StreamPermit, Problem> {
        Arc::clone(&self.permits).try_acquire_owned().map_err(|error| {
            let detail = match error {
                TryAcquireError::Closed => "The server is shutting down",
                TryAcquireError::NoPermits => {
                    "Too many streams are open; close one or poll the status"
                }
            };
            let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
            problem.retry_after(Duration::from_secs(5))
        })
    }
}
