//! Storage of the event log.

use async_trait::async_trait;
use jiff::Timestamp;

use super::Page;
use crate::Result;
use crate::event::{Event, NewEvent, RuntimeMode};

/// Selects the events to list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EventFilter {
    /// Only events of this run.
    pub run_id: Option<String>,
    /// Only events of this type.
    pub event_type: Option<String>,
    /// Only events after this time (exclusive).
    pub after: Option<Timestamp>,
    /// Only events up to this time (inclusive).
    pub until: Option<Timestamp>,
    /// Only events that are listed after the one with this id: the cursor of an earlier page.
    pub before: Option<i64>,
    /// The maximum number of events.
    pub limit: usize,
}

/// Selects the events to count.
#[derive(Debug, Clone, PartialEq)]
pub enum ActivityScope {
    /// The events of a run.
    Run(String),
    /// The events at or after a time, of all runs and outside of runs.
    Since(Timestamp),
}

/// The number of events of one type and mode.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventCount {
    /// The event type.
    pub event_type: String,
    /// How the actions were decided; `None` for events that are not actions.
    pub mode: Option<RuntimeMode>,
    /// The number of events.
    pub count: i64,
}

/// The event log.
#[async_trait]
pub trait EventStore: Send + Sync {
    /// Appends events in order, in one transaction. Events of concurrent appends do not interleave.
    /// An event whose uid is already stored is skipped, so an append can be repeated.
    async fn append(&self, events: &[NewEvent]) -> Result<()>;

    /// Lists events, newest first: by time, and those of the same time by id.
    ///
    /// The cost must not grow with the number of events, whatever the filter selects.
    async fn events(&self, filter: &EventFilter) -> Result<Page<Event>>;

    /// The event with this id.
    async fn event(&self, id: i64) -> Result<Option<Event>>;

    /// The number of events by type and mode, sorted by both.
    async fn count_events(&self, scope: &ActivityScope) -> Result<Vec<EventCount>>;

    /// The number of events of each of these runs by type and mode, in any order. Runs without events
    /// are left out.
    async fn count_events_by_run(&self, run_ids: &[String]) -> Result<Vec<(String, EventCount)>>;
}
