//! ReportWriter: each end of a run is reported once.
//!
//! Nothing remembers that a report is to be written: a run that has ended and has none is one. So an
//! end by an operator, a guardrail or a reset is followed up alike, also after a crash.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Mutex, watch};
use tracing::{info, warn};

use super::Ops;
use crate::jobs::Timer;
use crate::run::RunRecord;
use crate::store::{FencingToken, StoredReport};
use crate::{Error, Result};

/// Reports written in one go.
const BATCH: usize = 20;
/// A report waits so long for calls of the run that are still under way.
const SETTLED_AFTER: SignedDuration = SignedDuration::from_mins(10);

impl Ops {
    /// Writes the reports that are missing; how many. Any number of processes may do so at once, and
    /// again after a crash: the first report of an end stays.
    ///
    /// # Errors
    /// Of the store.
    pub async fn write_missing_reports(&self) -> Result<usize> {
        let missing = self.store.runs_without_report(BATCH).await?;
        let mut written = 0;
        for run in missing {
            let Some(ended_at) = run.ended_at else { continue };
            let late = self.clock.now().duration_since(ended_at) >= SETTLED_AFTER;
            if !late && self.has_calls_under_way(&run.run_id).await? {
                continue;
            }
            written += usize::from(self.close(run, ended_at).await?);
        }
        Ok(written)
    }

    /// Reports the end of a run that is about to go on, unless that was done: afterwards nothing is left
    /// of it. Whether it goes on does not depend on it.
    pub(super) async fn report_end_before_resume(&self) {
        let closed = async {
            let run = self.store.load().await?.run.filter(RunRecord::is_resumable);
            match run.as_ref().and_then(|run| run.ended_at).zip(run) {
                Some((ended_at, run)) => self.close(run, ended_at).await,
                None => Ok(false),
            }
        };
        if let Err(error) = closed.await {
            warn!(%error, "the end of a run that goes on is not reported");
        }
    }

    /// Writes the report of an end, unless there is one; whether it was written.
    async fn close(&self, run: RunRecord, ended_at: Timestamp) -> Result<bool> {
        if self.store.report_of(&run.run_id, ended_at).await?.is_some() {
            return Ok(false);
        }
        let report = self.report_on(run, true).await?;
        let (run_id, created_at) = (report.run.run_id.clone(), report.written_at);
        let body = serde_json::to_value(&report)
            .map_err(|error| Error::internal("a report cannot be kept").with_source(error))?;
        let stored = StoredReport { run_id, ended_at, body, created_at };
        let written = self.store.put_report(&stored).await?;
        if written {
            info!(run_id = stored.run_id, "the report of the run was written");
        }
        Ok(written)
    }

    async fn has_calls_under_way(&self, run_id: &str) -> Result<bool> {
        let open = self.store.open_leases().await?;
        Ok(open.iter().any(|lease| lease.run_id.as_deref() == Some(run_id)))
    }
}

/// Writes the reports of runs as they end.
pub struct ReportWriter {
    ops: Arc<Ops>,
    changes: Mutex<watch::Receiver<u64>>,
}

impl ReportWriter {
    /// A timer on the store of `ops`.
    pub fn new(ops: Arc<Ops>) -> Self {
        let changes = Mutex::new(ops.store().watch());
        Self { ops, changes }
    }
}

#[async_trait]
impl Timer for ReportWriter {
    fn name(&self) -> &'static str {
        "closeout"
    }

    async fn run(&self, _: &FencingToken) -> Result<Duration> {
        self.ops.write_missing_reports().await?;
        Ok(Duration::from_secs(5))
    }

    async fn called(&self) {
        if self.changes.lock().await.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
