//! The event log, and the sums kept of it per run and day.

use async_trait::async_trait;
use rusqlite::types::ToSql;
use rusqlite::{Connection, params};
use simops::Result;
use simops::event::{Event, NewEvent, RuntimeMode};
use simops::store::sql::{
    EVENT_CLASS_COLUMNS, EVENT_COLUMNS, EventSums, event, event_count, one_more,
};
use simops::store::{ActivityScope, EventCount, EventFilter, EventStore, Page};

use crate::SqliteStore;
use crate::codec::{Json, Micros, all, first};
use crate::error::Work;

#[async_trait]
impl EventStore for SqliteStore {
    async fn append(&self, events: &[NewEvent]) -> Result<()> {
        let events = events.to_vec();
        self.write(move |tx| append(tx, &events)).await
    }

    async fn events(&self, filter: &EventFilter) -> Result<Page<Event>> {
        let filter = filter.clone();
        self.read(move |connection| list(connection, &filter)).await
    }

    async fn event(&self, id: i64) -> Result<Option<Event>> {
        self.read(move |connection| {
            let sql = format!("SELECT {EVENT_COLUMNS} FROM events WHERE id = ?1");
            first(connection, &sql, [id], |row| event(row))
        })
        .await
    }

    async fn count_events(&self, scope: &ActivityScope) -> Result<Vec<EventCount>> {
        let scope = scope.clone();
        self.read(move |connection| count(connection, &scope)).await
    }
}

/// Appends events in order, skipping those that are stored already.
pub(crate) fn append(connection: &Connection, events: &[NewEvent]) -> Work<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO events (uid, run_id, agent_id, event_type, mode, description, metadata, \
             created_at, category, enforcement) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (uid) DO NOTHING",
    )?;
    let mut sums = EventSums::default();
    for event in events {
        let inserted = statement.execute(params![
            event.uid.as_bytes(),
            event.run_id,
            event.agent_id,
            event.event_type,
            event.runtime_mode().map_or("", RuntimeMode::as_str),
            event.description,
            Json(&event.metadata),
            Micros(event.created_at),
            event.category(),
            event.is_enforcement(),
        ])?;
        if inserted == 1 {
            sums.add(event);
        }
    }
    add_sums(connection, sums)
}

fn add_sums(connection: &Connection, sums: EventSums<'_>) -> Work<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO event_counts (run_id, event_type, mode, count) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT DO UPDATE SET count = count + excluded.count",
    )?;
    for ((run_id, event_type, mode), count) in sums.of_runs {
        statement.execute(params![run_id, event_type, mode, count])?;
    }
    let mut statement = connection.prepare_cached(&format!(
        "INSERT INTO event_days (day, run_id, {EVENT_CLASS_COLUMNS}, count) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
         ON CONFLICT DO UPDATE SET count = count + excluded.count"
    ))?;
    for ((day, run_id, class), count) in sums.of_days {
        let (event_type, mode, agent_id, category, enforcement) = class;
        statement.execute(params![
            day.to_string(),
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

fn list(connection: &Connection, filter: &EventFilter) -> Work<Page<Event>> {
    let before = filter.before.unwrap_or(i64::MAX);
    let limit = one_more(filter.limit);
    let (after, until) = (filter.after.map(Micros), filter.until.map(Micros));
    // Without a time, the primary key finds the newest events. With one, the index by time bounds
    // the events to read, and those are sorted.
    let by_time = filter.run_id.is_none() && filter.after.is_some();
    let index = match &filter.event_type {
        Some(_) if by_time => "INDEXED BY events_by_type_and_time",
        None if by_time => "INDEXED BY events_by_time",
        _ => "",
    };
    let mut sql = format!("SELECT {EVENT_COLUMNS} FROM events {index} WHERE id < ?1");
    let mut values: Vec<&dyn ToSql> = vec![&before];
    let conditions: [(_, Option<&dyn ToSql>); 4] = [
        ("run_id =", filter.run_id.as_ref().map(|value| value as _)),
        ("event_type =", filter.event_type.as_ref().map(|value| value as _)),
        ("created_at >", after.as_ref().map(|value| value as _)),
        ("created_at <=", until.as_ref().map(|value| value as _)),
    ];
    for (condition, wanted) in conditions {
        if let Some(wanted) = wanted {
            values.push(wanted);
            // The plus keeps SQLite from choosing an index by time over those by run and type.
            let plus = if condition.starts_with("created_at") && !by_time { "+" } else { "" };
            sql.push_str(&format!(" AND {plus}{condition} ?{}", values.len()));
        }
    }
    values.push(&limit);
    sql.push_str(&format!(" ORDER BY id DESC LIMIT ?{}", values.len()));
    let events = all(connection, &sql, values.as_slice(), |row| event(row))?;
    Ok(Page::cut(events, filter.limit, |event| event.id))
}

fn count(connection: &Connection, scope: &ActivityScope) -> Work<Vec<EventCount>> {
    let (sql, value): (_, Box<dyn ToSql>) = match scope {
        ActivityScope::Run(run_id) => (
            "SELECT event_type, mode, count FROM event_counts WHERE run_id = ?1 ORDER BY 1, 2",
            Box::new(run_id),
        ),
        ActivityScope::Since(since) => (
            "SELECT event_type, mode, count(*) FROM events WHERE created_at >= ?1 \
             GROUP BY 1, 2 ORDER BY 1, 2",
            Box::new(Micros(*since)),
        ),
    };
    all(connection, sql, [value], |row| event_count(row))
}
