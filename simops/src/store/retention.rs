//! What may be forgotten: old rows of the logs. What was counted of them is kept.

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use crate::kpi::event::MAX_LATE_DAYS;
use crate::{Error, Result};

/// A table that grows with what happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogTable {
    /// The event log, by the time of an event.
    Events,
    /// The usage ledger, by the time at which a call was recorded.
    Ledger,
    /// What visitors did, by the time at which they did it.
    Visits,
}

impl LogTable {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Events, Self::Ledger, Self::Visits];

    /// The name that operators use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Ledger => "ledger",
            Self::Visits => "visits",
        }
    }

    /// The days for which rows are needed, whoever wants them gone: a month's calls can be listed; an
    /// event that a visitor's browser sends late is known if it is sent again.
    pub fn min_retention_days(self) -> i64 {
        match self {
            Self::Events => 0,
            Self::Ledger => 35,
            Self::Visits => MAX_LATE_DAYS + 1,
        }
    }

    /// Whether rows older than `before` may go.
    ///
    /// # Errors
    /// `Invalid` when some of them are still needed.
    pub fn check(self, before: Timestamp, now: Timestamp) -> Result<()> {
        let days = self.min_retention_days();
        if before <= now - SignedDuration::from_hours(24 * days) {
            return Ok(());
        }
        let what = self.as_str();
        Err(Error::invalid(
            "older_than",
            format!("must be {days} days ago or earlier: so long, rows of the {what} are needed"),
        ))
    }
}

/// Which rows of a log are old.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PruneCutoff {
    /// Those before this time, not at it.
    pub before: Timestamp,
    /// Except those of this run. Visits belong to none.
    pub except_run: Option<String>,
}

/// Retention. The row of a log that was written last is never old, so that no place in it is given
/// twice.
#[async_trait]
pub trait RetentionStore: Send + Sync {
    /// How many rows are old.
    async fn count_prunable(&self, log: LogTable, old: &PruneCutoff) -> Result<u64>;

    /// Deletes at most `limit` of them, in one transaction and roughly the oldest first; how many.
    /// What was counted of them stays counted, and recounts know of them. One that is recorded again
    /// may count anew.
    async fn prune(&self, log: LogTable, old: &PruneCutoff, limit: usize) -> Result<u64>;
}
