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
    EVENT_CLASS_COLUMNS, EVENT_COLUMNS, count, day_tally, event, event_class,
};
use simops::store::{TallyStore, TimeCursor};

use crate::SqliteStore;
use crate::codec::{Cells, Micros, all, first};
use crate::error::Work;

#[async_trait]
impl TallyStore for SqliteStore {
    async fn tally(&self, window: EventWindow) -> Result<Vec<EventTally>> {
        self.read(move |connection| tally(connection, window)).await
    }

    async fn tally_days(&self, first: Date, last: Date) -> Result<Vec<DayTally>> {
        self.read(move |connection| tally_days(connection, first, last)).await
    }

    async fn events_of_type(
        &self,
        window: EventWindow,
        event_type: &str,
        after: Option<TimeCursor>,
        limit: usize,
    ) -> Result<Vec<Event>> {
        let event_type = event_type.to_owned();
        self.read(move |connection| {
            let after = after.unwrap_or(TimeCursor { at: window.after, id: i64::MAX });
            let values = params![
                Micros(after.at),
                after.id,
                Micros(window.after),
                Micros(window.until),
                event_type,
                count(limit)
            ];
            all(connection, &events_in_sql(), values, |row| event(row))
        })
        .await
    }

    async fn last_event(&self, event_type: &str, until: Timestamp) -> Result<Option<Event>> {
        let values = (event_type.to_owned(), Micros(until));
        self.read(move |connection| first(connection, &last_of_sql(), values, |row| event(row)))
            .await
    }
}

fn tally_sql() -> String {
    format!(
        "SELECT {EVENT_CLASS_COLUMNS} FROM events INDEXED BY events_by_time \
         WHERE created_at > ?1 AND created_at <= ?2"
    )
}

/// The bound on the time serves the index; the id excludes events up to the cursor.
fn events_in_sql() -> String {
    format!(
        "SELECT {EVENT_COLUMNS} FROM events INDEXED BY events_by_type_and_time \
         WHERE created_at >= ?1 AND (created_at > ?1 OR id > ?2) \
             AND created_at > ?3 AND created_at <= ?4 AND event_type = ?5 \
         ORDER BY created_at, id LIMIT ?6"
    )
}

fn last_of_sql() -> String {
    format!(
        "SELECT {EVENT_COLUMNS} FROM events INDEXED BY events_by_type_and_time \
         WHERE event_type = ?1 AND created_at <= ?2 ORDER BY created_at DESC, id DESC LIMIT 1"
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
                counts
                    .insert(key.clone(), EventTally { class: event_class(Cells(row))?, count: 1 });
            }
        }
    }
    let mut tallies: Vec<_> = counts.into_values().collect();
    tallies.sort_unstable();
    Ok(tallies)
}

fn write_key(row: &Row<'_>, key: &mut Vec<u8>) -> rusqlite::Result<()> {
    key.clear();
    for column in [0, 1, 3] {
        let text = row.get_ref(column)?.as_bytes()?;
        key.extend_from_slice(&text.len().to_le_bytes());
        key.extend_from_slice(text);
    }
    let agent_id: Option<i64> = row.get(2)?;
    key.push(u8::from(agent_id.is_some()));
    key.extend_from_slice(&agent_id.unwrap_or_default().to_le_bytes());
    key.push(u8::from(row.get::<_, bool>(4)?));
    Ok(())
}

fn tally_days(connection: &Connection, first_day: Date, last_day: Date) -> Work<Vec<DayTally>> {
    let sql = format!(
        "SELECT {EVENT_CLASS_COLUMNS}, day, run_id, count FROM event_days \
         WHERE day BETWEEN ?1 AND ?2"
    );
    let days = [first_day.to_string(), last_day.to_string()];
    let mut tallies = all(connection, &sql, days, |row| day_tally(row))?;
    tallies.sort_unstable();
    Ok(tallies)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use rusqlite::types::Null;

    use super::*;

    /// The query plan of a statement.
    async fn plan(sql: String) -> String {
        let store = SqliteStore::open("sqlite::memory:").await.unwrap();
        let plan = store.read(move |connection| {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
            let parameters = vec![Null; statement.parameter_count()];
            let rows =
                statement.query_map(rusqlite::params_from_iter(parameters), |row| row.get(3))?;
            Ok(rows.collect::<rusqlite::Result<Vec<String>>>()?)
        });
        plan.await.unwrap().join("; ")
    }

    #[tokio::test]
    async fn a_window_is_searched_in_a_covering_index() {
        let read =
            "SEARCH events USING COVERING INDEX events_by_time (created_at>? AND created_at<?)";
        assert_eq!(plan(tally_sql()).await, read);
    }

    #[tokio::test]
    async fn events_of_a_type_are_searched_by_time_and_need_no_sort() {
        let read = "SEARCH events USING INDEX events_by_type_and_time (event_type=? AND created_at";
        for sql in [events_in_sql(), last_of_sql()] {
            let plan = plan(sql).await;
            assert!(plan.starts_with(read), "{plan}");
            assert!(!plan.contains("SCAN") && !plan.contains("B-TREE"), "{plan}");
        }
    }
}
