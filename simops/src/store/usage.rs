//! The usage ledger.

use async_trait::async_trait;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use super::{ActivityScope, Page};
use crate::Result;
use crate::event::EventWindow;
use crate::usage::budget::LlmTotals;
use crate::usage::recount::Recount;
use crate::usage::series::Bucket;
use crate::usage::{CallTally, DayTotals, UsageRow};

/// A run's calls in a trailing window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FailureCounts {
    /// Calls that failed.
    pub failed: i64,
    /// All calls.
    pub calls: i64,
}

/// Which rows of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UsageFilter {
    /// Only those of this run.
    pub run_id: Option<String>,
    /// Only those recorded at or after this time.
    pub since: Option<Timestamp>,
    /// Only those after this place: the `next` of an earlier page.
    pub after: Option<i64>,
}

/// The usage ledger.
#[async_trait]
pub trait UsageStore: Send + Sync {
    /// Writes ledger rows in one transaction. A row whose id is stored already is left out, so a
    /// write may be repeated; except that it replaces one of an expired lease.
    async fn record_usage(&self, rows: &[UsageRow]) -> Result<()>;

    /// What a day has used. Sums stop at the greatest number there is.
    async fn day_totals(&self, day: Date) -> Result<DayTotals>;

    /// The calls of a run, or since a time.
    async fn llm_totals(&self, scope: &ActivityScope) -> Result<LlmTotals>;

    /// A run's calls recorded after `since`, not at it.
    async fn failure_window(&self, run_id: &str, since: Timestamp) -> Result<FailureCounts>;

    /// Calls recorded at or after `since`, of one run or of any and none, as [`Series`] counts them
    /// in steps of `step`.
    ///
    /// [`Series`]: crate::usage::series::Series
    async fn usage_series(
        &self,
        run_id: Option<&str>,
        since: Timestamp,
        step: SignedDuration,
    ) -> Result<Vec<Bucket>>;
    /// The calls recorded in a window, those of a run or of any, by class, sorted by class. Reads no
    /// rows outside the window.
    async fn tally_calls(
        &self,
        run_id: Option<&str>,
        window: EventWindow,
    ) -> Result<Vec<CallTally>>;

    /// Rows in the order in which they were first written, at most `limit`.
    async fn usage_rows(&self, filter: &UsageFilter, limit: usize) -> Result<Page<UsageRow>>;

    /// Counts the ledger and the open leases anew, all at one moment.
    async fn recount(&self) -> Result<Recount>;

    /// Counts anew and puts every sum right in the same transaction; what it found.
    async fn rebuild_usage(&self) -> Result<Recount>;
}
