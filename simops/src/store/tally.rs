//! Events counted by what they are: the figures that windows, digests and reports are made of.

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;

use crate::Result;
use crate::event::{DayTally, Event, EventTally, EventWindow};

/// A place in the order of time: of events at one time, those appended later follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeCursor {
    /// The time.
    pub at: Timestamp,
    /// The event's id.
    pub id: i64,
}

/// Events counted.
///
/// # Contract
/// No method reads events outside the time it is asked for, however long the log is. What is held in
/// memory grows with the classes that occur, not with the events.
#[async_trait]
pub trait TallyStore: Send + Sync {
    /// The events of a window by class, sorted by class. Nothing for a window without time.
    async fn tally(&self, window: EventWindow) -> Result<Vec<EventTally>>;

    /// The events of the UTC days `first` to `last`, both included, by day, run and class, sorted.
    /// Kept as events are appended, so that it costs the same for a day of any size.
    async fn tally_days(&self, first: Date, last: Date) -> Result<Vec<DayTally>>;

    /// At most `limit` events of one type in a window, oldest first, those after the place `after`.
    async fn events_of_type(
        &self,
        window: EventWindow,
        event_type: &str,
        after: Option<TimeCursor>,
        limit: usize,
    ) -> Result<Vec<Event>>;

    /// The last event of a type at or before `until`, by time and then by place.
    async fn last_event(&self, event_type: &str, until: Timestamp) -> Result<Option<Event>>;
}
