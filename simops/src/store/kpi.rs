//! Storage of visitor events and their daily sums.

use async_trait::async_trait;
use jiff::civil::Date;

use crate::Result;
use crate::kpi::summary::Days;
use crate::kpi::{KpiEvent, KpiRecount};

/// Visitor events and their daily sums.
///
/// # Contract
/// The stored sums equal a recount of the stored events, regardless of the
/// order, duplication, lateness and concurrency of events. They are updated by
/// [`crate::kpi::sums::apply_steps`], so the cost of an event does not depend on how many are stored.
#[async_trait]
pub trait KpiStore: Send + Sync {
    /// Records events and updates the daily sums in one transaction. Returns the number of new events.
    /// Events whose uid is already stored or repeated in `events` are skipped.
    async fn record_kpi(&self, events: &[KpiEvent]) -> Result<u64>;

    /// The stored sums of the days `first` to `last` (inclusive). Days without events are omitted.
    async fn kpi_days(&self, first: Date, last: Date) -> Result<Days>;

    /// Recounts all events and returns the result with the stored sums, from one snapshot.
    async fn recount_kpi(&self) -> Result<KpiRecount>;

    /// Deletes the events of visitors whose id begins with `prefix` and recounts the sums, in one
    /// transaction. Returns the number of events deleted. Their uids are unknown afterwards.
    async fn delete_visits(&self, prefix: &str) -> Result<u64>;

    /// Recounts all events and corrects the stored sums in the same transaction. Returns the sums
    /// from before the correction.
    async fn rebuild_kpi(&self) -> Result<KpiRecount>;
}
