//! Storage of the usage ledger.

use async_trait::async_trait;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use super::{ActivityScope, Page};
use crate::Result;
use crate::event::EventWindow;
use crate::usage::recount::Recount;
use crate::usage::series::Bucket;
use crate::usage::{CallTally, CallTotals, DayTotals, UsageRow};

/// The number of a run's calls in a trailing window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FailureCounts {
    /// Failed calls.
    pub failed: i64,
    /// All calls.
    pub calls: i64,
}

/// Selects rows of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UsageFilter {
    /// Only calls of this run.
    pub run_id: Option<String>,
    /// Only calls recorded at or after this time.
    pub since: Option<Timestamp>,
    /// Only rows after this cursor, which is the `next` of an earlier page.
    pub after: Option<i64>,
}

/// The usage ledger, which has one row per model call.
#[async_trait]
pub trait UsageStore: Send + Sync {
    /// Settles ledger rows in one transaction, in this order. May be repeated: the table in
    /// [`LedgerBatch`](crate::usage::LedgerBatch) says what a row does whose id is known.
    async fn record_usage(&self, rows: &[UsageRow]) -> Result<()>;

    /// The usage of a day. Sums saturate at the maximum of their type.
    async fn day_totals(&self, day: Date) -> Result<DayTotals>;

    /// The totals of the calls of a run or since a time.
    async fn llm_totals(&self, scope: &ActivityScope) -> Result<CallTotals>;

    /// The number of a run's calls recorded after `since` (exclusive).
    async fn failure_window(&self, run_id: &str, since: Timestamp) -> Result<FailureCounts>;

    /// Counts the calls recorded at or after `since` in buckets of length `step`, as [`Series`]
    /// defines them. Without a run id, calls of all runs and outside of runs are counted.
    ///
    /// [`Series`]: crate::usage::series::Series
    async fn usage_series(
        &self,
        run_id: Option<&str>,
        since: Timestamp,
        step: SignedDuration,
    ) -> Result<Vec<Bucket>>;

    /// Counts the calls recorded in a window by class, sorted by class, of one run or of all. Reads no
    /// rows outside the window.
    async fn tally_calls(
        &self,
        run_id: Option<&str>,
        window: EventWindow,
    ) -> Result<Vec<CallTally>>;

    /// Lists rows in the order in which they were first written, at most `limit`.
    async fn usage_rows(&self, filter: &UsageFilter, limit: usize) -> Result<Page<UsageRow>>;

    /// Recounts the ledger and the open leases, from one snapshot.
    async fn recount(&self) -> Result<Recount>;

    /// Recounts and corrects all sums in the same transaction. Returns the sums from before the
    /// correction.
    async fn rebuild_usage(&self) -> Result<Recount>;
}
