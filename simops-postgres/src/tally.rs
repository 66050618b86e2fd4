//! Counts of events by class: windows from a covering index, days from sums that are kept as events
//! are appended.

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;
use simops::Result;
use simops::event::{DayTally, Event, EventTally, EventWindow};
use simops::store::sql::{
    EVENT_CLASS_COLUMNS, EVENT_COLUMNS, SqlRow, count, day_tally, event, event_class,
};
use simops::store::{TallyStore, TimeCursor};
use sqlx::AssertSqlSafe;

use crate::PostgresStore;
use crate::codec::{Cells, Day, Micros};

#[async_trait]
impl TallyStore for PostgresStore {
    async fn tally(&self, window: EventWindow) -> Result<Vec<EventTally>> {
        let statement = || {
            let sql = format!(
                "SELECT {EVENT_CLASS_COLUMNS}, count(*) FROM events \
                 WHERE created_at > $1 AND created_at <= $2 GROUP BY {EVENT_CLASS_COLUMNS}"
            );
            sqlx::query(AssertSqlSafe(sql)).bind(Micros(window.after)).bind(Micros(window.until))
        };
        let read = |row: Cells<'_>| Ok(EventTally { class: event_class(row)?, count: row.int(5)? });
        let mut tallies = self.base.fetch_all(statement, read).await?;
        tallies.sort_unstable();
        Ok(tallies)
    }

    async fn tally_days(&self, first: Date, last: Date) -> Result<Vec<DayTally>> {
        let statement = || {
            let sql = format!(
                "SELECT {EVENT_CLASS_COLUMNS}, day, run_id, count FROM event_days \
                 WHERE day BETWEEN $1 AND $2"
            );
            sqlx::query(AssertSqlSafe(sql)).bind(Day::at_least(first)).bind(Day::at_least(last))
        };
        let mut tallies = self.base.fetch_all(statement, |row| day_tally(row)).await?;
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
        let after = after.unwrap_or(TimeCursor { at: window.after, id: i64::MAX });
        let statement = || {
            let sql = format!(
                "SELECT {EVENT_COLUMNS} FROM events WHERE (created_at, id) > ($1, $2) \
                     AND created_at > $3 AND created_at <= $4 AND event_type = $5 \
                 ORDER BY created_at, id LIMIT $6"
            );
            sqlx::query(AssertSqlSafe(sql))
                .bind(Micros(after.at))
                .bind(after.id)
                .bind(Micros(window.after))
                .bind(Micros(window.until))
                .bind(event_type)
                .bind(count(limit))
        };
        self.base.fetch_all(statement, |row| event(row)).await
    }

    async fn last_event(&self, event_type: &str, until: Timestamp) -> Result<Option<Event>> {
        let statement = || {
            let sql = format!(
                "SELECT {EVENT_COLUMNS} FROM events WHERE event_type = $1 AND created_at <= $2 \
                 ORDER BY created_at DESC, id DESC LIMIT 1"
            );
            sqlx::query(AssertSqlSafe(sql)).bind(event_type).bind(Micros(until))
        };
        self.base.fetch_optional(statement, |row| event(row)).await
    }
}
