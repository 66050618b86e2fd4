//! Writes the report of each end of a run, once.
//!
//! A report is missing when a run has ended and has none; no other state is stored. So every end is
//! reported, whatever ended the run, also after a crash.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Mutex, watch};
use tracing::{info, warn};

use super::{Ops, SystemWriter};
use crate::jobs::Timer;
use crate::run::RunRecord;
use crate::store::{FencingToken, StoredReport};
use crate::{Error, Result};

/// Reports written in one run of the job.
const BATCH: usize = 20;
/// How long a report waits for calls of the run that are still in flight.
const MAX_WAIT: SignedDuration = SignedDuration::from_mins(10);

impl SystemWriter<'_> {
    /// Writes the missing reports of runs that have ended; returns their number. Any number of
    /// processes may do so at once, and again after a crash: the first report of an end is kept.
    pub async fn write_missing_reports(self) -> Result<usize> {
        let ops = self.ops;
        let missing = ops.store.runs_without_report(BATCH).await?;
        let mut written = 0;
        for run in missing {
            let Some(ended_at) = run.ended_at else { continue };
            let late = ops.clock.now().duration_since(ended_at) >= MAX_WAIT;
            if !late && ops.has_calls_in_flight(&run.run_id).await? {
                continue;
            }
            written += usize::from(ops.write_report(run, ended_at).await?);
        }
        Ok(written)
    }
}

impl Ops {
    /// Writes the report of a run's end before the run is resumed, which removes the end from the
    /// registry. A failure does not prevent the resume.
    pub(super) async fn report_end_before_resume(&self, run_id: Option<&str>) {
        let closed = async {
            let run = match run_id {
                Some(run_id) => self.store.run(run_id).await?,
                None => self.store.load().await?.run,
            };
            let run = run.filter(RunRecord::is_resumable);
            match run.as_ref().and_then(|run| run.ended_at).zip(run) {
                Some((ended_at, run)) => self.write_report(run, ended_at).await,
                None => Ok(false),
            }
        };
        if let Err(error) = closed.await {
            warn!(code = "report_missing", %error, "report of a resumed run not written");
        }
    }

    /// Writes the report of an end unless it exists; whether it was written.
    async fn write_report(&self, run: RunRecord, ended_at: Timestamp) -> Result<bool> {
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
            info!(run_id = stored.run_id, "run report written");
        }
        Ok(written)
    }

    async fn has_calls_in_flight(&self, run_id: &str) -> Result<bool> {
        let open = self.store.open_leases().await?;
        Ok(open.iter().any(|lease| lease.run_id.as_deref() == Some(run_id)))
    }
}

/// The job that writes the reports of runs as they end.
pub struct ReportWriter {
    ops: Arc<Ops>,
    changes: Mutex<watch::Receiver<u64>>,
}

impl ReportWriter {
    /// A job on the store of `ops`.
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
        self.ops.system().write_missing_reports().await?;
        Ok(Duration::from_secs(5))
    }

    async fn triggered(&self) {
        if self.changes.lock().await.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
