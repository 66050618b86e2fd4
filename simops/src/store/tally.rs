//! Event counts by class, from which windows, digests and reports are computed.

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;

use crate::Result;
use crate::event::{DayTally, Event, EventTally, EventWindow};

/// A position in the chronological order of events. Events with the same time are ordered by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeCursor {
    /// The time.
    pub at: Timestamp,
    /// The event's id.
    pub id: i64,
}

/// Event counts by class.
///
/// # Contract
/// No method reads events outside the requested time. Memory use grows with the number of distinct
/// classes, not with the number of events.
#[async_trait]
pub trait TallyStore: Send + Sync {
    /// Counts the events of a window by class, sorted by class. An empty window has no events.
    async fn tally(&self, window: EventWindow) -> Result<Vec<EventTally>>;

    /// The number of events of the UTC days `first` to `last` (inclusive) by day, run and class, sorted.
    /// These counts are updated when events are appended, so the cost does not depend on the number of
    /// events.
    async fn tally_days(&self, first: Date, last: Date) -> Result<Vec<DayTally>>;

    /// The events of a window in these runs, counted by run and class, sorted by both. The cost does not
    /// depend on the events of other runs.
    async fn tally_runs(
        &self,
        run_ids: &[String],
        window: EventWindow,
    ) -> Result<Vec<(String, EventTally)>>;

    /// As [`tally_days`](Self::tally_days), of these runs only. The cost does not depend on other runs.
    async fn tally_days_of_runs(
        &self,
        run_ids: &[String],
        first: Date,
        last: Date,
    ) -> Result<Vec<DayTally>>;

    /// At most `limit` events of one type in a window, oldest first, after the cursor `after`; of one
    /// run, or of all and outside of runs.
    async fn events_of_type(
        &self,
        run_id: Option<&str>,
        window: EventWindow,
        event_type: &str,
        after: Option<TimeCursor>,
        limit: usize,
    ) -> Result<Vec<Event>>;

    /// The last event of a type at or before `until`, by time and then by id; of one run, or of all and
    /// outside of runs.
    async fn last_event(
        &self,
        run_id: Option<&str>,
        event_type: &str,
        until: Timestamp,
    ) -> Result<Option<Event>>;
}
