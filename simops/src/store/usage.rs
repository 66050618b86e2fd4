//! Storage of the usage ledger.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use super::{ActivityScope, Page};
use crate::Result;
use crate::event::EventWindow;
use crate::usage::recount::{LedgerBasis, LedgerPiece, LedgerScan, Recount, UsageCorrection};
use crate::usage::series::Bucket;
use crate::usage::{Budgets, CallTally, CallTotals, DayTotals, UsageRow};

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

    /// The totals of the calls of each of these runs, in any order. Runs without calls are left out.
    async fn llm_totals_by_run(&self, run_ids: &[String]) -> Result<Vec<(String, CallTotals)>>;

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

    /// What changes with the rows of each day.
    async fn ledger_basis(&self) -> Result<LedgerBasis>;

    /// Counts the rows whose place in the order of insertion is after `after` and up to `until`, at
    /// most `limit`, and what they use of `budgets`. A row that is added later has a later place.
    async fn count_calls(
        &self,
        after: i64,
        until: i64,
        limit: usize,
        budgets: &Arc<Budgets>,
    ) -> Result<LedgerPiece>;

    /// Completes a scan and compares it with the stored sums and the open leases, in one snapshot:
    /// counts the rows after it, and again the pieces of which a day has changed.
    async fn finish_recount(&self, scan: Arc<LedgerScan>) -> Result<Recount>;

    /// Corrects sums by the difference that a recount has found. Returns the new revision; `None`, and
    /// changes nothing, if the revision is no longer `revision`.
    async fn correct_usage(
        &self,
        revision: i64,
        wrong: Arc<UsageCorrection>,
    ) -> Result<Option<i64>>;
}
