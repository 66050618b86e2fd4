//! Storage of visitor events and their daily sums.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::civil::Date;
use uuid::Uuid;

use crate::Result;
use crate::kpi::summary::Days;
use crate::kpi::{CountedSteps, KpiEvent, LoggedVisit, Steps, VisitorSteps, WrongSteps};
use crate::progress::Progress;

/// What changes a recount otherwise than by recording.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KpiBasis {
    /// Increases with every deletion of visitors and every correction.
    pub revision: i64,
    /// The numbers of pruned events, in [`DaySums::events`](crate::kpi::DaySums).
    pub pruned: Days,
}

/// The sums of some days, and what they should be equal to, from one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KpiSnapshot {
    /// What else the recount depends on, of all days.
    pub basis: KpiBasis,
    /// The stored sums. Sums that cannot be read are left out.
    pub kept: Days,
    /// The sums that follow from the stored steps, without the numbers of events.
    pub by_steps: Days,
    /// The numbers of events after the position that was asked for.
    pub recent: Days,
}

/// Selects events by their visitors.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VisitFilter {
    /// The day of the events; `None` selects every day.
    pub day: Option<Date>,
    /// Ids of visitors.
    pub visitors: HashSet<String>,
    /// What ids of visitors begin with.
    pub prefixes: Vec<String>,
}

impl VisitFilter {
    /// Whether an event of this visitor on `day` is selected.
    pub fn selects(&self, visitor_id: &str, day: Date) -> bool {
        self.day.is_none_or(|of| of == day)
            && (self.visitors.contains(visitor_id)
                || self.prefixes.iter().any(|prefix| visitor_id.starts_with(prefix)))
    }
}

/// Events that a [`VisitFilter`] selected. Their visitors are known, and where they are in the log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SelectedVisits {
    /// Visitors and positions of the events, sorted.
    pub visits: Vec<(Uuid, i64)>,
    /// The position up to which events were looked at.
    pub until: i64,
}

impl SelectedVisits {
    /// Takes a piece of about `size` events, with all events of each of its visitors.
    #[must_use]
    pub fn take_piece(&mut self, size: usize) -> Self {
        let cut = self.visits.len().saturating_sub(size.max(1));
        let first = self.visits.get(cut).map(|(visitor, _)| *visitor);
        let cut = self.visits.partition_point(|(visitor, _)| Some(*visitor) < first);
        Self { visits: self.visits.split_off(cut), until: self.until }
    }

    /// Puts the piece back that was taken last.
    pub fn put_back(&mut self, mut piece: Self) {
        self.visits.append(&mut piece.visits);
    }
}

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

    /// The events that `filter` selects. Pruned events are not selected.
    async fn select_visits(&self, filter: &VisitFilter) -> Result<SelectedVisits>;

    /// Deletes the events of a piece of what `filter` has selected, and what it selects of the same
    /// visitors since then, and subtracts them from the sums, in one transaction. Returns the number of
    /// events deleted. Their uids are unknown afterwards.
    async fn delete_visits(&self, filter: &VisitFilter, piece: &SelectedVisits) -> Result<u64>;

    /// The position of the last event. No event that is recorded later gets a position up to it; the
    /// positions of deleted events may be given again.
    async fn kpi_position(&self) -> Result<i64>;

    /// The events after one position up to another, in order, at most `limit`.
    async fn kpi_log(&self, after: i64, until: i64, limit: usize) -> Result<Vec<LoggedVisit>>;

    /// What changes a recount otherwise than by recording.
    async fn kpi_basis(&self) -> Result<KpiBasis>;

    /// Compares the stored steps of a range of visitors with counted ones, in one snapshot, whose
    /// revision and wrong steps are returned.
    async fn compare_steps(&self, counted: Arc<CountedSteps>) -> Result<(i64, Vec<WrongSteps>)>;

    /// The stored steps of some visitors and days.
    async fn visitor_steps(&self, keys: Vec<(Uuid, Date)>) -> Result<VisitorSteps>;

    /// Reads the sums of the days `first` to `last` (inclusive) and what they should be equal to.
    async fn kpi_snapshot(&self, first: Date, last: Date, after: i64) -> Result<KpiSnapshot>;

    /// Replaces the steps of some visitors and days with `counted`, the steps from the events up to the
    /// position `until`, together with those of later events. On days of which events were pruned, steps
    /// are only added. Returns the new revision; `None`, and changes nothing, if the revision is no
    /// longer `revision`.
    async fn correct_steps(
        &self,
        revision: i64,
        counted: Arc<Vec<((Uuid, Date), Steps)>>,
        until: i64,
    ) -> Result<Option<i64>>;

    /// Adds `changes` to the sums of their days. Returns the new revision; `None`, and changes nothing,
    /// if the revision is no longer `revision`.
    async fn correct_sums(&self, revision: i64, changes: Arc<Days>) -> Result<Option<i64>>;

    /// Writes the index by which events that were recorded before are recognised again, if it is no
    /// part of the events' table, in several short transactions. A call that is cancelled leaves an
    /// index that is complete.
    async fn rebuild_uids(&self, progress: Progress<'_>) -> Result<()> {
        let _ = progress;
        Ok(())
    }
}
