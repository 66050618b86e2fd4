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
use tokio::sync::watch;

use super::message::Message;
use super::{StreamPermit, Streams};
use crate::access::Actor;

/// A comment is sent after this long without a message.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// The receiving end of a stream.
pub(crate) struct Subscriber {
    streams: Arc<Streams>,
    _permit: StreamPermit,
    actor: Actor,
    messages: Receiver<Message>,
    pending: VecDeque<Message>,
    closed: watch::Receiver<bool>,
}

impl Subscriber {
    pub(super) fn new(
        streams: Arc<Streams>,
        permit: StreamPermit,
        actor: Actor,
        first: impl Into<VecDeque<Message>>,
    ) -> Self {
        let (messages, closed) = (streams.messages.subscribe(), streams.closed.subscribe());
        Self { streams, _permit: permit, actor, messages, pending: first.into(), closed }
    }

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
