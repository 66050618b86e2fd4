//! Retention: deletes old rows of a log. What was counted of them stays counted.

use jiff::Timestamp;
use serde_json::json;

use super::writer::BatchSize;
use super::{Ops, Writer};
use crate::Result;
use crate::control::Write;
use crate::progress::Progress;
use crate::store::{LogTable, PruneCutoff};

/// Rows deleted in one transaction: others write in between.
const BATCH: usize = 1_000;

impl Ops {
    /// How many rows of `log` are older than `older_than` and can be deleted. Rows of the open run
    /// are kept.
    ///
    /// # Errors
    /// Returns `Invalid` when rows of that age are still needed, and an error when the database
    /// cannot be read.
    pub async fn count_prunable(&self, log: LogTable, older_than: Timestamp) -> Result<u64> {
        let old = self.prune_cutoff(log, older_than).await?;
        self.store.count_prunable(log, &old).await
    }

    async fn prune_cutoff(&self, log: LogTable, older_than: Timestamp) -> Result<PruneCutoff> {
        log.check(older_than, self.clock.now())?;
        let except_run = self.store.load().await?.run.filter(crate::run::RunRecord::is_open);
        Ok(PruneCutoff { before: older_than, except_run: except_run.map(|run| run.run_id) })
    }
}

impl Writer<'_> {
    /// Deletes the rows of `log` that are older than `older_than`, in small transactions; returns their
    /// number. An audit row before it says how many were found, one after it how many were deleted. A call
    /// that is cancelled leaves the rest.
    ///
    /// # Errors
    /// Returns `Forbidden` when the write gate does not allow it, `Invalid` when rows of that age are
    /// still needed, and an error when the database cannot be written, which says how many rows were
    /// deleted before.
    pub async fn prune(
        &self,
        log: LogTable,
        older_than: Timestamp,
        progress: Progress<'_>,
    ) -> Result<u64> {
        let permit = self.permit(Write::Prune)?;
        let old = self.ops.prune_cutoff(log, older_than).await?;
        let found = self.ops.store.count_prunable(log, &old).await?;
        let key = format!("PRUNE:{}", log.as_str());
        if found > 0 {
            let value = json!({ "older_than": older_than, "found_rows": found });
            self.audit(&permit, key.clone(), value).await?;
        }
        let mut deleted = 0;
        let show = |deleted| progress(deleted, found);
        let done = self.prune_pieces(log, &old, &show, &mut deleted).await;
        self.audit_deleted(&permit, key, "deleted_rows", deleted, done).await?;
        Ok(deleted)
    }

    async fn prune_pieces(
        &self,
        log: LogTable,
        old: &PruneCutoff,
        show: &(dyn Fn(u64) + Send + Sync),
        deleted: &mut u64,
    ) -> Result<()> {
        let mut batch = BatchSize(BATCH);
        loop {
            self.still_permits(Write::Prune).await?;
            match self.ops.store.prune(log, old, batch.0).await {
                Ok(0) => return Ok(()),
                Ok(more) => *deleted += more,
                Err(error) => batch.shrink(error)?,
            }
            show(*deleted);
        }
    }
}
