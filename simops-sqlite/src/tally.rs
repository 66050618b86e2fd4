//! Counts of events by class: windows from a covering index, days from sums that are kept as events
//! are appended.

use std::collections::HashMap;

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;
use rusqlite::{Connection, Row, params};
use simops::Result;
use simops::event::{DayTally, Event, EventTally, EventWindow};
use simops::store::sql::{
    EVENT_CLASS_COLUMNS, LATER_AGENT, SqlStore, SqlTx, day_tallies, day_tallies_of_runs,
    events_of_type, last_event, run_tallies,
};
use simops::store::{TallyStore, TimeCursor};

use crate::SqliteStore;
use crate::codec::{Cells, Micros};
use crate::error::Work;
use crate::job::Tx;

#[async_trait]
impl TallyStore for SqliteStore {
    async fn tally(&self, window: EventWindow) -> Result<Vec<EventTally>> {
        self.on_reader(move |tx| tally(tx, window)).await
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

const USING_INDEX: fn(&str) -> String = <Tx<'_> as SqlTx>::using_index;

fn tally_sql() -> String {
    format!(
        "SELECT {EVENT_CLASS_COLUMNS} FROM events INDEXED BY events_by_time{LATER_AGENT} \
         WHERE created_at > ?1 AND created_at <= ?2"
    )
}

/// Counts here and not in SQLite, which would sort the whole window first.
fn tally(connection: &Connection, window: EventWindow) -> Work<Vec<EventTally>> {
    let mut statement = connection.prepare_cached(&tally_sql())?;
    let mut rows = statement.query(params![Micros(window.after), Micros(window.until)])?;
    let mut counts = HashMap::<Vec<u8>, EventTally>::new();
    let mut key = Vec::with_capacity(128);
    while let Some(row) = rows.next()? {
        // A class is allocated once, not once per event.
        write_key(row, &mut key)?;
        match counts.get_mut(&key) {
            Some(tally) => tally.count += 1,
            None => {
                counts.insert(key.clone(), EventTally { class: Cells::record(row)?, count: 1 });
            }
        }
    }
    let mut tallies: Vec<_> = counts.into_values().collect();
    tallies.sort_unstable();
    Ok(tallies)
}

fn write_key(row: &Row<'_>, key: &mut Vec<u8>) -> rusqlite::Result<()> {
    key.clear();
    for column in [0, 1, 3, 4] {
        let text = row.get_ref(column)?.as_bytes_or_null()?.unwrap_or_default();
        key.extend_from_slice(&text.len().to_le_bytes());
        key.extend_from_slice(text);
    }
    let agent_id: Option<i64> = row.get(2)?;
    key.push(u8::from(agent_id.is_some()));
    key.extend_from_slice(&agent_id.unwrap_or_default().to_le_bytes());
    key.push(u8::from(row.get::<_, bool>(5)?));
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests;
