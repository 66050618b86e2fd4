//! Events counted by what they are.

use jiff::Timestamp;
use jiff::civil::Date;

use super::RuntimeMode;

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
