//! The usage ledger.

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;

use super::ActivityScope;
use crate::Result;
use crate::usage::budget::LlmTotals;
use crate::usage::{DayTotals, UsageRow};

/// A run's calls in a trailing window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FailureWindow {
    /// Calls that failed.
    pub failed: i64,
    /// All calls.
    pub calls: i64,
}

/// The usage ledger.
#[async_trait]
pub trait UsageStore: Send + Sync {
    /// Writes ledger rows in one transaction. A row whose id is stored already is left out, so a
    /// write may be repeated.
    async fn record_usage(&self, rows: &[UsageRow]) -> Result<()>;

    /// What a day has used. Sums stop at the greatest number there is.
    async fn day_totals(&self, day: Date) -> Result<DayTotals>;

    /// The calls of a run, or since a time.
    async fn llm_totals(&self, scope: &ActivityScope) -> Result<LlmTotals>;

    /// A run's calls recorded after `since`, not at it.
    async fn failure_window(&self, run_id: &str, since: Timestamp) -> Result<FailureWindow>;
}
