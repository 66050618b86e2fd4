//! Events counted by what they are: the figures that windows, digests and reports are made of.

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;

use crate::Result;
use crate::event::{Event, RuntimeMode};

/// A stretch of time (after, until]: later than the one, not later than the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventWindow {
    /// Events at this time lie before the window.
    pub after: Timestamp,
    /// Events at this time lie in it.
    pub until: Timestamp,
}

impl EventWindow {
    /// Whether an event at `at` lies in it.
    pub fn holds(&self, at: Timestamp) -> bool {
        self.after < at && at <= self.until
    }
}

/// What events are counted by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventClass {
    /// The type.
    pub event_type: String,
    /// How they came about; `None` for what is no action.
    pub mode: Option<RuntimeMode>,
    /// The agent that acted or was struck, if any.
    pub agent_id: Option<i64>,
    /// What they are about; see [`crate::event::NewEvent::category`].
    pub category: String,
    /// Whether they make somebody keep a rule.
    pub enforcement: bool,
}

/// How many events of a window are of one class.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventTally {
    /// The class.
    pub class: EventClass,
    /// How many.
    pub count: i64,
}

/// How many events of a UTC day and a run are of one class.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DayTally {
    /// The day.
    pub day: Date,
    /// The run, if any.
    pub run_id: Option<String>,
    /// The class.
    pub class: EventClass,
    /// How many.
    pub count: i64,
}

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
