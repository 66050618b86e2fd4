//! Counts of events by class: windows from a covering index, days from sums that are kept as events
//! are appended.

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;
use simops::Result;
use simops::event::{DayTally, Event, EventTally, EventWindow};
use simops::store::sql::{
    EVENT_CLASS_COLUMNS, LATER_AGENT, SqlStore, SqlTx, Statement, day_tallies, day_tallies_of_runs,
    events_of_type, last_event, run_tallies,
};
use simops::store::{TallyStore, TimeCursor};

use crate::PostgresStore;
use crate::transaction::Tx;

const USING_INDEX: fn(&str) -> String = <Tx as SqlTx>::using_index;

#[async_trait]
impl TallyStore for PostgresStore {
    async fn tally(&self, window: EventWindow) -> Result<Vec<EventTally>> {
        let sql = format!(
            "SELECT {EVENT_CLASS_COLUMNS}, count(*) FROM events{LATER_AGENT} \
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

    async fn tally_runs(
        &self,
        run_ids: &[String],
        window: EventWindow,
    ) -> Result<Vec<(String, EventTally)>> {
        let statements = run_tallies(USING_INDEX, run_ids, window);
        let mut tallies: Vec<(String, EventTally)> = self.fetch_each(statements).await?;
        tallies.sort_unstable();
        Ok(tallies)
    }

    async fn tally_days_of_runs(
        &self,
        run_ids: &[String],
        first: Date,
        last: Date,
    ) -> Result<Vec<DayTally>> {
        let statements = day_tallies_of_runs(run_ids, first, last);
        let mut tallies: Vec<DayTally> = self.fetch_each(statements).await?;
        tallies.sort_unstable();
        Ok(tallies)
    }

    async fn events_of_type(
        &self,
        run_id: Option<&str>,
        window: EventWindow,
        event_type: &str,
        after: Option<TimeCursor>,
        limit: usize,
    ) -> Result<Vec<Event>> {
        let events = events_of_type(USING_INDEX, run_id, window, event_type, after, limit);
        self.fetch_all(events).await
    }

    async fn last_event(
        &self,
        run_id: Option<&str>,
        event_type: &str,
        until: Timestamp,
    ) -> Result<Option<Event>> {
        self.fetch_optional(last_event(USING_INDEX, run_id, event_type, until)).await
    }
}
