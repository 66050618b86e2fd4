//! Pruning of old rows from the log tables. Aggregates of pruned rows are kept.

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use crate::kpi::event::MAX_LATE_DAYS;
use crate::{Error, Result};

named! {
    /// A table that grows with the activity of runs and visitors.
    pub enum LogTable {
        /// The event log, pruned by the time of the event.
        Events = "events",
        /// The usage ledger, pruned by the time at which a call was recorded.
        Ledger = "ledger",
        /// Visitor events, pruned by the time at which they happened.
        Visits = "visits",
    }
}

impl LogTable {
    /// The number of days for which rows must be kept: calls can be listed for a month, and late
    /// visitor events must be recognised as duplicates.
    pub fn min_retention_days(self) -> i64 {
        match self {
            Self::Events => 0,
            Self::Ledger => 35,
            Self::Visits => MAX_LATE_DAYS + 1,
        }
    }

    /// Checks that rows before `before` may be pruned at `now`.
    ///
    /// # Errors
    /// Returns `Invalid` if `before` is within the last [`min_retention_days`](Self::min_retention_days).
    pub fn check(self, before: Timestamp, now: Timestamp) -> Result<()> {
        let days = self.min_retention_days();
        if before <= now - SignedDuration::from_hours(24 * days) {
            return Ok(());
        }
        let table = self.as_str();
        let forged = if self == Self::Visits { "; `kpi delete` deletes forged ones" } else { "" };
        Err(Error::invalid(
            "older_than",
            format!(
                "must be at least {days} days ago; newer rows of {table} are still needed{forged}"
            ),
        ))
    }
}

/// Selects the rows of a log table to prune.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PruneCutoff {
    /// Prune rows before this time (exclusive).
    pub before: Timestamp,
    /// Keep the rows of this run. Visitor events do not belong to a run.
    pub except_run: Option<String>,
}

/// Pruning of log tables.
///
/// # Contract
/// The last row of a table is never pruned, so that row ids are not reused.
#[async_trait]
pub trait RetentionStore: Send + Sync {
    /// The number of rows that [`prune`](Self::prune) would delete.
    async fn count_prunable(&self, table: LogTable, cutoff: &PruneCutoff) -> Result<u64>;

    /// Deletes at most `limit` rows, roughly the oldest first, in one transaction, and returns their
    /// number. Aggregates keep counting the deleted rows, and recounts include them. A deleted row
    /// that is recorded again may be counted a second time.
    async fn prune(&self, table: LogTable, cutoff: &PruneCutoff, limit: usize) -> Result<u64>;
}
