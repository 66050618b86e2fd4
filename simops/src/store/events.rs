//! The event log.

use async_trait::async_trait;
use jiff::Timestamp;

use super::Page;
use crate::Result;
use crate::event::{Event, NewEvent, RuntimeMode};

/// Which events to list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EventFilter {
    /// Only of this run.
    pub run_id: Option<String>,
    /// Only of this type.
    pub event_type: Option<String>,
    /// Only later than this, not at it.
    pub after: Option<Timestamp>,
    /// Only at this time or earlier.
    pub until: Option<Timestamp>,
    /// Only with ids below this.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: usize,
}

/// Which events to count.
#[derive(Debug, Clone, PartialEq)]
pub enum ActivityScope {
    /// Those of a run.
    Run(String),
    /// Those at a time or later, of any run or none.
    Since(Timestamp),
}

/// How many events of one type came about in one way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventCount {
    /// The type.
    pub event_type: String,
    /// How they came about; `None` for what is no action.
    pub mode: Option<RuntimeMode>,
    /// How many.
    pub count: i64,
}

/// The event log.
#[async_trait]
pub trait EventStore: Send + Sync {
    /// Appends events in order, in one transaction; none of another append stands between them. An
    /// event whose uid is stored already is left out, so an append may be repeated.
    async fn append(&self, events: &[NewEvent]) -> Result<()>;

    /// Events, newest first.
    async fn events(&self, filter: &EventFilter) -> Result<Page<Event>>;

    /// One event.
    async fn event(&self, id: i64) -> Result<Option<Event>>;

    /// How many events there are of each type and mode, sorted by both.
    async fn count_events(&self, scope: &ActivityScope) -> Result<Vec<EventCount>>;
}
