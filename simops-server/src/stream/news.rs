//! What is told to listeners, and its form on the wire.

use std::sync::Arc;

use axum::body::Bytes;
use jiff::Timestamp;
use serde::Serialize;

use crate::access::Actor;
use crate::problem::Problem;
use crate::snapshot::Snapshot;

/// Something to tell every listener.
#[derive(Clone)]
pub(super) enum News {
    /// The status, completed per listener.
    Status(Arc<Snapshot>),
    /// Anything else, ready to be sent.
    Frame(Bytes),
    /// The streams end: the store is away, and who asks again is told why.
    Over,
}

/// New rows of a listing, newest first.
#[derive(Serialize)]
pub(super) struct Items<'a, T> {
    pub(super) items: &'a [T],
}

/// An event of that name on the wire.
pub(super) fn frame(name: &str, data: &impl Serialize) -> Result<Bytes, Problem> {
    let json = serde_json::to_string(data).map_err(|error| Problem::internal(error.to_string()))?;
    Ok(format!("event: {name}\ndata: {json}\n\n").into())
}

impl News {
    /// The bytes for `actor`; `None` at the end.
    pub(super) fn to_frame(&self, actor: &Actor, now: Timestamp) -> Option<Bytes> {
        match self {
            Self::Status(snapshot) => {
                snapshot.seen_by(actor, now, (b"event: status\ndata: ", b"\n\n")).ok()
            }
            Self::Frame(frame) => Some(frame.clone()),
            Self::Over => None,
        }
    }
}
