//! The status, computed and serialised once per change and completed per request with the fields
//! that differ.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use jiff::Timestamp;
use simops::ops::{Ops, StatusView};
use tokio::sync::watch;

use crate::access::Actor;
use crate::problem::Problem;
use crate::single_flight::SingleFlight;

/// Maximum age of what no revision covers, such as costs and heartbeats.
const MAX_AGE: Duration = Duration::from_millis(100);

/// A serialised status.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// The status itself.
    pub(crate) view: StatusView,
    /// The same as JSON, without the closing brace.
    json: Vec<u8>,
}

pub(crate) struct Snapshots {
    latest: SingleFlight<Arc<Snapshot>>,
    revision: watch::Receiver<u64>,
    /// Whether an allowlist restricts client addresses.
    allowlisted: bool,
}

impl Snapshots {
    pub(crate) fn new(ops: &Ops, allowlisted: bool) -> Self {
        Self { latest: SingleFlight::new(MAX_AGE), revision: ops.store().watch(), allowlisted }
    }

    /// The current status. It includes every completed write of this process, because the revision
    /// moves before a write completes.
    pub(crate) async fn now(&self, ops: &Ops) -> Result<Arc<Snapshot>, Problem> {
        let revision = || *self.revision.borrow();
        let compute = async || Snapshot::of(ops.status().await?, self.allowlisted);
        self.latest.get(revision, compute).await
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

    /// Whether both serialise to the same JSON.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.json == other.json
    }

    /// The whole status as `actor` sees it at `now`, between `prefix` and `suffix`.
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
