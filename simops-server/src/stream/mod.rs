//! Server-sent events: one broadcaster per server, which runs only while there are subscribers.

mod streams;
mod subscriber;

use std::sync::Arc;

use axum::body::Bytes;
use jiff::Timestamp;
use serde::Serialize;

pub use streams::{MAX_STREAMS, Streams};

use crate::access::Actor;
use crate::problem::Problem;
use crate::snapshot::Snapshot;

/// A message to every subscriber.
#[derive(Clone)]
enum Message {
    /// The status, completed for each subscriber.
    Status(Arc<Snapshot>),
    /// A frame that is the same for all.
    Frame(Bytes),
    /// Ends the stream. The store is unavailable, which a client learns when it reconnects.
    End,
}

/// New rows of a listing, newest first.
#[derive(Serialize)]
struct Items<'a, T> {
    items: &'a [T],
}

/// A server-sent event.
fn frame(name: &str, data: &impl Serialize) -> Result<Bytes, Problem> {
    let json = serde_json::to_string(data).map_err(|error| Problem::internal(error.to_string()))?;
    Ok(format!("event: {name}\ndata: {json}\n\n").into())
}

impl Message {
    /// The bytes for `actor`; `None` at the end.
    fn to_frame(&self, actor: &Actor, now: Timestamp) -> Option<Bytes> {
        match self {
            Self::Status(snapshot) => {
                snapshot.seen_by(actor, now, (b"event: status\ndata: ", b"\n\n")).ok()
            }
            Self::Frame(frame) => Some(frame.clone()),
            Self::End => None,
        }
    }
}
