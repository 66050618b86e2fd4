//! Counts of events by class: windows from a covering index, days from sums that are kept as events
//! are appended.

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;
use simops::Result;
use simops::event::{DayTally, Event, EventTally, EventWindow};
use simops::store::sql::{
    EVENT_CLASS_COLUMNS, SqlStore, Statement, day_tallies, events_of_type, last_event,
};
use simops::store::{TallyStore, TimeCursor};

use crate::PostgresStore;

#[async_trait]
impl TallyStore for PostgresStore {
    async fn tally(&self, window: EventWindow) -> Result<Vec<EventTally>> {
        let sql = format!(
            "SELECT {EVENT_CLASS_COLUMNS}, count(*) FROM events \
             WHERE created_at > $1 AND created_at <= $2 GROUP BY {EVENT_CLASS_COLUMNS}"
        );
        let tallies = Statement::new(sql).bind(window.after).bind(window.until);
        let mut tallies: Vec<EventTally> = self.fetch_all(tallies).await?;
        tallies.sort_unstable();
        Ok(tallies)
    }

    async fn tally_days(&self, first: Date, last: Date) -> Result<Vec<DayTally>> {
        let mut tallies: Vec<DayTally> = self.fetch_all(day_tallies(first, last)).await?;
        tallies.sort_unstable();
        Ok(tallies)
    }

    async fn events_of_type(
        &self,
        window: EventWindow,
        event_type: &str,
        after: Option<TimeCursor>,
        limit: usize,
    ) -> Result<Vec<Event>> {
        self.fetch_all(events_of_type("", window, event_type, after, limit)).await
    }

    async fn last_event(&self, event_type: &str, until: Timestamp) -> Result<Option<Event>> {
        self.fetch_optional(last_event("", event_type, until)).await
    }
}
