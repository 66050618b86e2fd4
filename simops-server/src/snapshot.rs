//! The status as many see it at once: computed when something changed, written out once, and
//! completed per request with what differs.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use jiff::Timestamp;
use simops::ops::{Ops, StatusView};
use tokio::sync::watch;

use crate::access::Actor;
use crate::fresh::Fresh;
use crate::problem::Problem;

/// What no revision tells (costs, signs of life) is at most so old.
const MAX_AGE: Duration = Duration::from_millis(100);

/// The status for everybody.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// What it says.
    pub(crate) view: StatusView,
    /// The same as JSON, without the closing brace.
    json: Vec<u8>,
}

/// The latest status.
pub(crate) struct Snapshots {
    fresh: Fresh<Arc<Snapshot>>,
    revision: watch::Receiver<u64>,
    /// Whether only listed addresses are let in.
    allowlisted: bool,
}

impl Snapshots {
    pub(crate) fn new(ops: &Ops, allowlisted: bool) -> Self {
        Self { fresh: Fresh::new(MAX_AGE), revision: ops.store().watch(), allowlisted }
    }

    /// The status now. A write of this process that has been answered is in it: the revision moved
    /// before the answer.
    pub(crate) async fn now(&self, ops: &Ops) -> Result<Arc<Snapshot>, Problem> {
        let revision = || *self.revision.borrow();
        let compute = async || Snapshot::of(ops.status().await?, self.allowlisted);
        self.fresh.get(revision, compute).await
    }
}

impl Snapshot {
    fn of(view: StatusView, allowlisted: bool) -> Result<Arc<Self>, Problem> {
        let mut json =
            serde_json::to_vec(&view).map_err(|error| Problem::internal(error.to_string()))?;
        json.pop();
        json.extend_from_slice(b",\"admin_ip_allowlisted\":");
        json.extend_from_slice(if allowlisted { b"true" } else { b"false" });
        Ok(Arc::new(Self { view, json }))
    }

    /// Whether both say the same.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.json == other.json
    }

    /// The whole status, as `actor` sees it at `now`, after `prefix` and before `suffix`.
    pub(crate) fn seen_by(
        &self,
        actor: &Actor,
        now: Timestamp,
        (prefix, suffix): (&[u8], &[u8]),
    ) -> Result<Bytes, Problem> {
        let mut json = Vec::with_capacity(self.json.len() + 320);
        json.extend_from_slice(prefix);
        json.extend_from_slice(&self.json);
        let unwritable = |error: std::io::Error| Problem::internal(error.to_string());
        write!(json, ",\"server_time_utc\":\"{now}\",\"actor\":").map_err(unwritable)?;
        serde_json::to_writer(&mut json, actor).map_err(|error| unwritable(error.into()))?;
        json.push(b'}');
        json.extend_from_slice(suffix);
        Ok(json.into())
    }
}
