//! Server-sent events: one broadcaster per server, that works only while somebody listens.

mod broadcast;
mod listener;
mod news;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use simops::ops::Ops;
use tokio::sync::{Mutex, broadcast as channel, watch};

use crate::access::Actor;
use crate::problem::Problem;
use crate::snapshot::Snapshots;
use broadcast::Told;
pub(crate) use listener::Listener;
use news::News;

/// Streams open at once.
pub const MAX_STREAMS: usize = 256;
/// Messages a slow listener may be behind before it is told everything anew.
const BACKLOG: usize = 32;

/// The open streams of a server.
pub struct Streams {
    ops: Arc<Ops>,
    snapshots: Arc<Snapshots>,
    news: channel::Sender<News>,
    open: AtomicUsize,
    // What listeners have been told; `None` while the broadcaster sleeps.
    told: Mutex<Option<Told>>,
    closed: watch::Sender<bool>,
}

impl Streams {
    pub(crate) fn new(ops: Arc<Ops>, snapshots: Arc<Snapshots>) -> Self {
        Self {
            ops,
            snapshots,
            news: channel::Sender::new(BACKLOG),
            open: AtomicUsize::new(0),
            told: Mutex::new(None),
            closed: watch::Sender::new(false),
        }
    }

    /// How many listen.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// Ends every stream, and lets none begin.
    pub fn close(&self) {
        self.closed.send_replace(true);
    }

    /// A new listener, with what it must know first.
    pub(crate) async fn listen(self: &Arc<Self>, actor: Actor) -> Result<Listener, Problem> {
        let seat = Seat::take(self)?;
        let mut told = self.told.lock().await;
        // Under the lock nothing is told, so that nothing falls between the first words and the
        // news that follow.
        match told.as_mut() {
            Some(told) => self.tell_news(told).await?,
            None => {
                // Watched from before the first words: what changes right after them is noticed.
                let revision = self.ops.store().watch();
                *told = Some(self.begin().await?);
                tokio::spawn(Arc::clone(self).work(revision));
            }
        }
        let first = told.as_ref().map(Told::first_words).unwrap_or_default();
        Ok(Listener::new(seat, actor, self.news.subscribe(), first))
    }
}

/// A place among the listeners, free again when dropped.
struct Seat(Arc<Streams>);

impl Seat {
    fn take(streams: &Arc<Streams>) -> Result<Self, Problem> {
        let refused = |detail| {
            let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
            Err(problem.retry_after(Duration::from_secs(5)))
        };
        if *streams.closed.borrow() {
            return refused("The server is shutting down");
        }
        let taken = streams.open.fetch_update(Ordering::AcqRel, Ordering::Acquire, |open| {
            (open < MAX_STREAMS).then_some(open + 1)
        });
        if taken.is_err() {
            return refused("Too many streams are open; close one or poll the status");
        }
        Ok(Self(Arc::clone(streams)))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
    }
}
