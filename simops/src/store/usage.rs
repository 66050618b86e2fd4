//! The usage ledger.

use async_trait::async_trait;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use super::{ActivityScope, EventWindow, Page};
use crate::Result;
use crate::usage::budget::LlmTotals;
use crate::usage::recount::Recount;
use crate::usage::series::Bucket;
use crate::usage::{DayTotals, NanoUsd, UsageRow};

/// A run's calls in a trailing window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FailureCounts {
    /// Calls that failed.
    pub failed: i64,
    /// All calls.
    pub calls: i64,
}

/// What calls are counted by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallClass {
    /// The provider's name in lower case.
    pub provider: String,
    /// The model asked for.
    pub model: String,
    /// Whether they answered.
    pub success: bool,
    /// What failed, when they did not.
    pub error_type: Option<String>,
}

/// Calls of one class, summed. Sums stop at the greatest number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallTally {
    /// The class.
    pub class: CallClass,
    /// How many.
    pub calls: i64,
    /// Those that were degraded or took a later route.
    pub fallback_calls: i64,
    /// Those charged at the fallback price.
    pub unpriced_calls: i64,
    /// Tokens sent.
    pub input_tokens: i64,
    /// Tokens received.
    pub output_tokens: i64,
    /// What they cost.
    pub cost: NanoUsd,
}

impl CallTally {
    /// One call.
    pub fn of(row: &UsageRow) -> Self {
        Self {
            class: CallClass {
                provider: row.provider.clone(),
                model: row.model_requested.clone(),
                success: row.success,
                error_type: row.error_type.clone(),
            },
            calls: 1,
            fallback_calls: row.fallback_used.into(),
            unpriced_calls: (!row.priced).into(),
            input_tokens: row.input_tokens,
            output_tokens: row.output_tokens,
            cost: row.cost,
        }
    }

    /// The sums with those of `other` added.
    pub fn add(&mut self, other: &Self) {
        let sum = |mine: &mut i64, more: i64| *mine = mine.saturating_add(more);
        sum(&mut self.calls, other.calls);
        sum(&mut self.fallback_calls, other.fallback_calls);
        sum(&mut self.unpriced_calls, other.unpriced_calls);
        sum(&mut self.input_tokens, other.input_tokens);
        sum(&mut self.output_tokens, other.output_tokens);
        self.cost = self.cost + other.cost;
    }
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
