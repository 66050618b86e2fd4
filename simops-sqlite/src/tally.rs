//! Events counted by what they are: windows out of an index that holds all it takes, days out of
//! counts that are kept as events come.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;
use rusqlite::{Connection, OptionalExtension, Row, params};
use simops::Result;
use simops::clock::day_of;
use simops::event::{DayTally, EventClass, EventTally, EventWindow};
use simops::event::{Event, NewEvent, RuntimeMode};
use simops::store::{TallyStore, TimeCursor};

use crate::SqliteStore;
use crate::codec::{Micros, count};
use crate::days::date;
use crate::error::Work;
use crate::events::{COLUMNS, event};

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
            let mut statement = connection.prepare_cached(&events_in_sql())?;
            let after = after.unwrap_or(TimeCursor { at: window.after, id: i64::MAX });
            let rows = statement.query_map(
                params![
                    Micros(after.at),
                    after.id,
                    Micros(window.after),
                    Micros(window.until),
                    event_type,
                    count(limit)
                ],
                event,
            )?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn last_event(&self, event_type: &str, until: Timestamp) -> Result<Option<Event>> {
        let event_type = event_type.to_owned();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(&last_of_sql())?;
            Ok(statement.query_row(params![event_type, Micros(until)], event).optional()?)
        })
        .await
    }
}

/// The columns of a class, in the order in which [`class`] reads them.
const CLASS: &str = "event_type, mode, agent_id, category, enforcement";

fn tally_sql() -> String {
    format!(
        "SELECT {CLASS} FROM events INDEXED BY events_by_time \
         WHERE created_at > ?1 AND created_at <= ?2"
    )
}

/// Those at the time of the place before come again and are left out by their ids.
fn events_in_sql() -> String {
    format!(
        "SELECT {COLUMNS} FROM events INDEXED BY events_by_type_and_time \
         WHERE created_at >= ?1 AND (created_at > ?1 OR id > ?2) \
             AND created_at > ?3 AND created_at <= ?4 AND event_type = ?5 \
         ORDER BY created_at, id LIMIT ?6"
    )
}

fn last_of_sql() -> String {
    format!(
        "SELECT {COLUMNS} FROM events INDEXED BY events_by_type_and_time \
         WHERE event_type = ?1 AND created_at <= ?2 ORDER BY created_at DESC, id DESC LIMIT 1"
    )
}

/// Counted here and not by SQLite, which would sort all of the window first.
fn tally(connection: &Connection, window: EventWindow) -> Work<Vec<EventTally>> {
    let mut statement = connection.prepare_cached(&tally_sql())?;
    let mut rows = statement.query(params![Micros(window.after), Micros(window.until)])?;
    let mut counts = HashMap::<Vec<u8>, EventTally>::new();
    let mut key = Vec::with_capacity(128);
    while let Some(row) = rows.next()? {
        // A class is made once, not once per event.
        write_key(row, &mut key)?;
        match counts.get_mut(&key) {
            Some(tally) => tally.count += 1,
            None => {
                counts.insert(key.clone(), EventTally { class: class(row, 0)?, count: 1 });
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

fn class(row: &Row<'_>, first: usize) -> rusqlite::Result<EventClass> {
    Ok(EventClass {
        event_type: row.get(first)?,
        mode: RuntimeMode::parse(row.get_ref(first + 1)?.as_str()?),
        agent_id: row.get(first + 2)?,
        category: row.get(first + 3)?,
        enforcement: row.get(first + 4)?,
    })
}

fn tally_days(connection: &Connection, first: Date, last: Date) -> Work<Vec<DayTally>> {
    let sql =
        format!("SELECT {CLASS}, day, run_id, count FROM event_days WHERE day BETWEEN ?1 AND ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([first.to_string(), last.to_string()], |row| {
        let EventClass { agent_id, .. } = class(row, 0)?;
        let run_id: String = row.get(6)?;
        Ok(DayTally {
            day: date(row, 5)?,
            run_id: Some(run_id).filter(|run_id| !run_id.is_empty()),
            class: EventClass { agent_id: agent_id.filter(|id| *id != NOBODY), ..class(row, 0)? },
            count: row.get(7)?,
        })
    })?;
    let mut tallies = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    tallies.sort_unstable();
    Ok(tallies)
}

/// Stands for no agent in a key that takes no null.
const NOBODY: i64 = i64::MIN;

/// What new events add to their days. Folded, so that a batch of one class costs one update.
#[derive(Default)]
pub(crate) struct Days<'a>(BTreeMap<(Date, &'a str, EventKey<'a>), i64>);

type EventKey<'a> = (&'a str, &'static str, i64, &'a str, bool);

impl<'a> Days<'a> {
    /// Counts an event that was just inserted.
    pub(crate) fn add(&mut self, event: &'a NewEvent) {
        let class = (
            event.event_type.as_str(),
            event.runtime_mode().map_or("", RuntimeMode::as_str),
            event.agent_id.unwrap_or(NOBODY),
            event.category(),
            event.is_enforcement(),
        );
        let run_id = event.run_id.as_deref().unwrap_or_default();
        *self.0.entry((day_of(event.created_at), run_id, class)).or_default() += 1;
    }

    /// Adds the counts to those kept.
    pub(crate) fn store(self, connection: &Connection) -> Work<()> {
        let mut statement = connection.prepare_cached(&format!(
            "INSERT INTO event_days (day, run_id, {CLASS}, count) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
             ON CONFLICT DO UPDATE SET count = count + excluded.count"
        ))?;
        for ((day, run_id, (event_type, mode, agent_id, category, enforcement)), count) in self.0 {
            let day = day.to_string();
            statement.execute(params![
                day,
                run_id,
                event_type,
                mode,
                agent_id,
                category,
                enforcement,
                count
            ])?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use rusqlite::types::Null;

    use super::*;

    /// How SQLite reads what a statement asks for.
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
    async fn a_window_is_searched_in_an_index_that_holds_all_it_takes() {
        let read =
            "SEARCH events USING COVERING INDEX events_by_time (created_at>? AND created_at<?)";
        assert_eq!(plan(tally_sql()).await, read);
    }

    #[tokio::test]
    async fn events_of_a_type_are_searched_by_time_and_come_in_its_order() {
        let read = "SEARCH events USING INDEX events_by_type_and_time (event_type=? AND created_at";
        for sql in [events_in_sql(), last_of_sql()] {
            let plan = plan(sql).await;
            assert!(plan.starts_with(read), "{plan}");
            assert!(!plan.contains("SCAN") && !plan.contains("B-TREE"), "{plan}");
        }
    }
}
