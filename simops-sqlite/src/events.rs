//! The event log, and its counts per run.

use std::collections::BTreeMap;

use async_trait::async_trait;
use rusqlite::types::ToSql;
use rusqlite::{Connection, OptionalExtension, Row, params};
use simops::Result;
use simops::event::{Event, NewEvent, RuntimeMode};
use simops::store::{ActivityScope, EventCount, EventFilter, EventStore, Page};

use crate::SqliteStore;
use crate::codec::{Json, Micros, one_more};
use crate::error::Work;
use crate::tally::Days;

pub(crate) const COLUMNS: &str =
    "id, run_id, agent_id, event_type, description, metadata, created_at";

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
            let sql = format!("SELECT {COLUMNS} FROM events WHERE id = ?1");
            Ok(connection.prepare_cached(&sql)?.query_row([id], event).optional()?)
        })
        .await
    }

    async fn count_events(&self, scope: &ActivityScope) -> Result<Vec<EventCount>> {
        let scope = scope.clone();
        self.read(move |connection| count(connection, &scope)).await
    }
}

/// Appends events in order, leaving out those that are stored already.
pub(crate) fn append(connection: &Connection, events: &[NewEvent]) -> Work<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO events (uid, run_id, agent_id, event_type, mode, description, metadata, \
             created_at, category, enforcement) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (uid) DO NOTHING",
    )?;
    // Folded first: a batch of one kind costs one update of its count.
    let mut counts = BTreeMap::<_, i64>::new();
    let mut days = Days::default();
    for event in events {
        let mode = event.runtime_mode().map_or("", RuntimeMode::as_str);
        let inserted = statement.execute(params![
            event.uid.as_bytes(),
            event.run_id,
            event.agent_id,
            event.event_type,
            mode,
            event.description,
            Json(&event.metadata),
            Micros(event.created_at),
            event.category(),
            event.is_enforcement(),
        ])?;
        if inserted == 1 {
            days.add(event);
        }
        if let (Some(run_id), 1) = (&event.run_id, inserted) {
            *counts.entry((run_id, &event.event_type, mode)).or_default() += 1;
        }
    }
    let mut statement = connection.prepare_cached(
        "INSERT INTO event_counts (run_id, event_type, mode, count) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT DO UPDATE SET count = count + excluded.count",
    )?;
    for ((run_id, event_type, mode), count) in counts {
        statement.execute(params![run_id, event_type, mode, count])?;
    }
    days.store(connection)
}

fn list(connection: &Connection, filter: &EventFilter) -> Work<Page<Event>> {
    let before = filter.before.unwrap_or(i64::MAX);
    let limit = one_more(filter.limit);
    let (after, until) = (filter.after.map(Micros), filter.until.map(Micros));
    // The newest are found at once. A window of time is not followed through the whole log: what
    // lies in it is sorted.
    let by_time = filter.run_id.is_none() && filter.after.is_some();
    let index = match &filter.event_type {
        Some(_) if by_time => "INDEXED BY events_by_type_and_time",
        None if by_time => "INDEXED BY events_by_time",
        _ => "",
    };
    let mut sql = format!("SELECT {COLUMNS} FROM events {index} WHERE id < ?1");
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
            // Without the plus a time would compete with run and type for the index.
            let plus = if condition.starts_with("created_at") && !by_time { "+" } else { "" };
            sql.push_str(&format!(" AND {plus}{condition} ?{}", values.len()));
        }
    }
    values.push(&limit);
    sql.push_str(&format!(" ORDER BY id DESC LIMIT ?{}", values.len()));
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(values.as_slice(), event)?;
    Ok(Page::cut(rows.collect::<rusqlite::Result<_>>()?, filter.limit, |event| event.id))
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
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([value], |row| {
        Ok(EventCount {
            event_type: row.get(0)?,
            mode: RuntimeMode::parse(row.get_ref(1)?.as_str()?),
            count: row.get(2)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(crate) fn event(row: &Row<'_>) -> rusqlite::Result<Event> {
    Ok(Event {
        id: row.get(0)?,
        run_id: row.get(1)?,
        agent_id: row.get(2)?,
        event_type: row.get(3)?,
        description: row.get(4)?,
        metadata: row.get::<_, Json<_>>(5)?.0,
        created_at: row.get::<_, Micros>(6)?.0,
    })
}
