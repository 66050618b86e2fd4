//! The event log, and the sums kept of it per run and day.

use async_trait::async_trait;
use rusqlite::{Connection, params};
use simops::event::{Event, NewEvent, RuntimeMode};
use simops::store::sql::{
    EVENT_CLASS_COLUMNS, EventSums, ListEvents, SqlStore, event_counts, event_counts_by_run,
    event_of,
};
use simops::store::{ActivityScope, EventCount, EventFilter, EventStore, Page};
use simops::{AgentId, Result};

use crate::SqliteStore;
use crate::codec::{Json, Micros};
use crate::error::Work;

#[async_trait]
impl EventStore for SqliteStore {
    async fn append(&self, events: &[NewEvent]) -> Result<()> {
        let events = events.to_vec();
        self.on_writer(move |tx| append(tx, &events)).await
    }

    async fn events(&self, filter: &EventFilter) -> Result<Page<Event>> {
        let found = self.read(ListEvents(filter.clone())).await?;
        Ok(Page::cut(found, filter.limit, |event: &Event| event.id))
    }

    async fn event(&self, id: i64) -> Result<Option<Event>> {
        self.fetch_optional(event_of(id)).await
    }

    async fn count_events(&self, scope: &ActivityScope) -> Result<Vec<EventCount>> {
        self.fetch_all(event_counts(scope)).await
    }

    async fn count_events_by_run(&self, run_ids: &[String]) -> Result<Vec<(String, EventCount)>> {
        self.fetch_each(event_counts_by_run(run_ids)).await
    }
}

/// Appends events in order, skipping those that are stored already.
pub(crate) fn append(connection: &Connection, events: &[NewEvent]) -> Work<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO events (uid, run_id, agent_id, agent, event_type, mode, description, metadata, \
             created_at, category, enforcement) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT (uid) DO NOTHING",
    )?;
    let mut sums = EventSums::default();
    for event in events {
        let inserted = statement.execute(params![
            event.uid.as_bytes(),
            event.run_id,
            event.agent_id.as_ref().and_then(AgentId::number),
            event.agent_id.as_ref().and_then(AgentId::name),
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
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) \
         ON CONFLICT DO UPDATE SET count = count + excluded.count"
    ))?;
    for ((day, run_id, class), count) in sums.of_days {
        let (event_type, mode, agent_id, agent, category, enforcement) = class;
        statement.execute(params![
            day.to_string(),
            run_id,
            event_type,
            mode,
            agent_id,
            agent,
            category,
            enforcement,
            count
        ])?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests;
