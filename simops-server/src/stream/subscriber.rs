//! One open stream.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::stream;
use jiff::Timestamp;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, TryAcquireError, watch};

use super::Message;
use super::streams::{LastSent, Streams};
use crate::access::Actor;
use crate::problem::Problem;

/// A comment is sent after this long without a message.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

impl Streams {
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
        Ok(Subscriber {
            streams: Arc::clone(self),
            _permit: permit,
            actor,
            messages: self.messages.subscribe(),
            pending: first.into(),
            closed: self.closed.subscribe(),
        })
    }

    fn permit(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.permits).try_acquire_owned().map_err(|error| {
            Problem::unavailable(match error {
                TryAcquireError::Closed => "The server is shutting down",
                TryAcquireError::NoPermits => {
                    "Too many streams are open; close one or poll the status"
                }
            })
        })
    }
}

/// The receiving end of a stream.
pub(crate) struct Subscriber {
    streams: Arc<Streams>,
    // Counts an open stream until it is dropped.
    _permit: OwnedSemaphorePermit,
    actor: Actor,
    messages: Receiver<Message>,
    pending: VecDeque<Message>,
    closed: watch::Receiver<bool>,
}

impl Subscriber {
    /// The stream as a response body.
    pub(crate) fn into_body(self) -> Body {
        Body::from_stream(stream::unfold(self, async |mut subscriber| {
            let frame = subscriber.next().await?;
            Some((Ok::<Bytes, Infallible>(frame), subscriber))
        }))
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(message) = self.pending.pop_front() {
                return message.to_frame(&self.actor, Timestamp::now());
            }
            let received = tokio::select! {
                biased;
                _ = self.closed.wait_for(|closed| *closed) => return None,
                received = self.messages.recv() => received,
                () = tokio::time::sleep(KEEP_ALIVE) => {
                    return Some(Bytes::from_static(b": alive\n\n"));
                }
            };
            match received {
                Ok(message) => self.pending.push_back(message),
                Err(RecvError::Lagged(_)) => {
                    self.pending.extend(self.streams.whole_state().await.ok()?);
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }
}
