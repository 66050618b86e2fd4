//! What visitors did, and the sums kept of each day.

use async_trait::async_trait;
use jiff::civil::Date;

use crate::Result;
use crate::kpi::summary::Days;
use crate::kpi::{KpiEvent, KpiRecount};

/// Events of visitors.
///
/// The kept sums equal [`crate::kpi::recount`] of the stored events whenever nobody writes, whatever
/// order, duplicates, lateness or concurrency the events came in. They move by
/// [`crate::kpi::sums::apply_steps`], so an event costs the same however many are stored.
#[async_trait]
pub trait KpiStore: Send + Sync {
    /// Records events and moves the sums of their days, in one transaction; how many were new. One
    /// whose uid is stored already is left out, also when it stands twice in `events`.
    async fn record_kpi(&self, events: &[KpiEvent]) -> Result<u64>;

    /// The kept sums of the days from `first` to `last`, both included; days without events are left
    /// out.
    async fn kpi_days(&self, first: Date, last: Date) -> Result<Days>;

    /// Counts all events anew, and tells that with what is kept, all at one moment.
    async fn recount_kpi(&self) -> Result<KpiRecount>;

    /// Counts anew and puts everything kept right in the same transaction; what it found.
    async fn rebuild_kpi(&self) -> Result<KpiRecount>;
}
