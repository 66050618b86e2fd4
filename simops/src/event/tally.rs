//! Event counts by class.

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use super::RuntimeMode;
use crate::AgentId;

/// The half-open time window `(after, until]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventWindow {
    /// Start of the window (exclusive).
    pub after: Timestamp,
    /// End of the window (inclusive).
    pub until: Timestamp,
}

impl EventWindow {
    /// The window from `begin` to `until`, both inclusive.
    pub(crate) fn from(begin: Timestamp, until: Timestamp) -> Self {
        let after = begin.checked_sub(SignedDuration::from_micros(1)).unwrap_or(begin);
        Self { after, until }
    }

    /// Whether the window contains `at`.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.after < at && at <= self.until
    }
}

/// The properties by which events are counted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventClass {
    /// The event type.
    pub event_type: String,
    /// How the actions were decided; `None` for events that are not actions.
    pub mode: Option<RuntimeMode>,
    /// The agent that acted or was affected, if any.
    pub agent_id: Option<AgentId>,
    /// The category; see [`crate::event::NewEvent::category`].
    pub category: String,
    /// Whether the events enforce a rule.
    pub enforcement: bool,
}

/// The number of events of one class in a window.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventTally {
    /// The class.
    pub class: EventClass,
    /// The number of events.
    pub count: i64,
}

/// The number of events of one class on a UTC day in a run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DayTally {
    /// The UTC day.
    pub day: Date,
    /// The run, if any.
    pub run_id: Option<String>,
    /// The class.
    pub class: EventClass,
    /// The number of events.
    pub count: i64,
}
