//! One open stream.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::stream;
use jiff::Timestamp;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

use super::Seat;
use super::news::News;
use crate::access::Actor;

/// A sign of life is sent after so much silence.
const ALIVE_EVERY: Duration = Duration::from_secs(5);

/// A listener: what it still has to be told, and where it hears the rest.
pub(crate) struct Listener {
    seat: Seat,
    actor: Actor,
    news: Receiver<News>,
    waiting: VecDeque<News>,
    closed: watch::Receiver<bool>,
}

impl Listener {
    pub(super) fn new(
        seat: Seat,
        actor: Actor,
        news: Receiver<News>,
        first: impl Into<VecDeque<News>>,
    ) -> Self {
        let closed = seat.0.closed.subscribe();
        Self { seat, actor, news, waiting: first.into(), closed }
    }

    /// The stream's bytes, as the connection asks for them.
    pub(crate) fn into_body(self) -> Body {
        Body::from_stream(stream::unfold(self, async |mut listener| {
            let frame = listener.next().await?;
            Some((Ok::<Bytes, Infallible>(frame), listener))
        }))
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(news) = self.waiting.pop_front() {
                return news.to_frame(&self.actor, Timestamp::now());
            }
            let heard = tokio::select! {
                biased;
                _ = self.closed.wait_for(|closed| *closed) => return None,
                heard = self.news.recv() => heard,
                () = tokio::time::sleep(ALIVE_EVERY) => {
                    return Some(Bytes::from_static(b": alive\n\n"));
                }
            };
            match heard {
                Ok(news) => self.waiting.push_back(news),
                // It was too slow and has missed something.
                Err(RecvError::Lagged(_)) => {
                    self.waiting.extend(self.seat.0.everything().await.ok()?);
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }
}
