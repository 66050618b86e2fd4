//! The event log, and the sums kept of it per run and day.

use std::collections::HashSet;

use async_trait::async_trait;
use simops::event::{Event, NewEvent, RuntimeMode};
use simops::store::sql::{
    EVENT_CLASS_COLUMNS, EventClassKey, EventSums, ListEvents, SqlStore, event_counts,
    event_counts_by_run, event_of,
};
use simops::store::{ActivityScope, EventCount, EventFilter, EventStore, Page};
use simops::{AgentId, Result};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::PostgresStore;
use crate::codec::{Day, Json, Micros};
use crate::connection::TxMode;
use crate::error::Work;
use crate::link::Link;
use crate::transaction::Base;

#[async_trait]
impl EventStore for PostgresStore {
    async fn append(&self, events: &[NewEvent]) -> Result<()> {
        self.events.call(events.to_vec()).await
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

/// Appends the events of several calls in one transaction. Events have uids, so a transaction that was
/// lost with its connection is repeated.
pub(crate) async fn append_all(base: Base, calls: Vec<Vec<NewEvent>>) -> Result<Vec<Result<()>>> {
    let answers = calls.iter().map(|_| Ok(())).collect();
    let events: Vec<_> = calls.into_iter().flatten().collect();
    let events = &events;
    base.run(TxMode::Write, |mut tx| async move {
        append(&mut tx, events).await?;
        Ok((tx, ()))
    })
    .await?;
    Ok(answers)
}

/// Appends events in order, skipping those that are stored already.
pub(crate) async fn append(connection: &mut Link, events: &[NewEvent]) -> Work<()> {
    // Of events with the same uid, the first counts.
    let mut seen = HashSet::new();
    let events: Vec<_> = events.iter().filter(|event| seen.insert(event.uid)).collect();
    if events.is_empty() {
        return Ok(());
    }
    // Held until the commit, so that ids are assigned in the order in which events become visible:
    // those of one append are consecutive, and a reader that continues after an id misses none.
    sqlx::query(
        "SELECT pg_advisory_xact_lock(hashtext('simops events'), 'events'::regclass::oid::int)",
    )
    .execute(&mut *connection)
    .await?;
    let modes: Vec<_> =
        events.iter().map(|event| event.runtime_mode().map_or("", RuntimeMode::as_str)).collect();
    let column =
        |of: fn(&NewEvent) -> &str| events.iter().map(|event| of(event)).collect::<Vec<_>>();
    let agents = || events.iter().map(|event| event.agent_id.as_ref());
    let uids: Vec<Uuid> = events.iter().map(|event| event.uid).collect();
    let inserted: Vec<(Uuid,)> = sqlx::query_as(
        "INSERT INTO events (uid, run_id, agent_id, agent, event_type, mode, description, \
             metadata, created_at, category, enforcement) \
         SELECT uid, run_id, agent_id, agent, event_type, mode, description, metadata, created_at, \
             category, enforcement \
         FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], \
             $7::text[], $8::json[], $9::timestamptz[], $10::text[], $11::bool[]) \
             WITH ORDINALITY AS new (uid, run_id, agent_id, agent, event_type, mode, description, \
             metadata, created_at, category, enforcement, place) \
         ORDER BY place ON CONFLICT DO NOTHING RETURNING uid",
    )
    .bind(uids)
    .bind(events.iter().map(|event| event.run_id.as_deref()).collect::<Vec<_>>())
    .bind(agents().map(|agent| agent.and_then(AgentId::number)).collect::<Vec<_>>())
    .bind(agents().map(|agent| agent.and_then(AgentId::name)).collect::<Vec<_>>())
    .bind(column(|event| &event.event_type))
    .bind(&modes)
    .bind(column(|event| &event.description))
    .bind(events.iter().map(|event| Json(&event.metadata)).collect::<Vec<_>>())
    .bind(events.iter().map(|event| Micros(event.created_at)).collect::<Vec<_>>())
    .bind(column(NewEvent::category))
    .bind(events.iter().map(|event| event.is_enforcement()).collect::<Vec<_>>())
    .fetch_all(&mut *connection)
    .await?;
    let inserted: HashSet<_> = inserted.into_iter().map(|(uid,)| uid).collect();
    let mut sums = EventSums::default();
    events.iter().filter(|event| inserted.contains(&event.uid)).for_each(|event| sums.add(event));
    add_sums(connection, &sums).await
}

/// Adds to the stored sums. Last in a transaction, because all who append update the same rows.
async fn add_sums(connection: &mut Link, sums: &EventSums<'_>) -> Work<()> {
    let runs = &sums.of_runs;
    if !runs.is_empty() {
        sqlx::query(
            "INSERT INTO event_counts (run_id, event_type, mode, count) \
             SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) \
             ON CONFLICT (run_id, event_type, mode) DO UPDATE \
             SET count = event_counts.count + excluded.count",
        )
        .bind(runs.keys().map(|key| key.0).collect::<Vec<_>>())
        .bind(runs.keys().map(|key| key.1).collect::<Vec<_>>())
        .bind(runs.keys().map(|key| key.2).collect::<Vec<_>>())
        .bind(runs.values().copied().collect::<Vec<_>>())
        .execute(&mut *connection)
        .await?;
    }
    let days = &sums.of_days;
    if days.is_empty() {
        return Ok(());
    }
    let class = |of: fn(&EventClassKey<'_>) -> String| {
        days.keys().map(|(_, _, class)| of(class)).collect::<Vec<_>>()
    };
    let sql = format!(
        "INSERT INTO event_days (day, run_id, {EVENT_CLASS_COLUMNS}, count) \
         SELECT * FROM unnest($1::date[], $2::text[], $3::text[], $4::text[], $5::bigint[], \
             $6::text[], $7::text[], $8::bool[], $9::bigint[]) \
         ON CONFLICT (day, run_id, {EVENT_CLASS_COLUMNS}) DO UPDATE \
         SET count = event_days.count + excluded.count"
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(days.keys().map(|(day, ..)| Day(*day)).collect::<Vec<_>>())
        .bind(days.keys().map(|(_, run_id, _)| *run_id).collect::<Vec<_>>())
        .bind(class(|class| class.0.to_owned()))
        .bind(class(|class| class.1.to_owned()))
        .bind(days.keys().map(|(_, _, class)| class.2).collect::<Vec<_>>())
        .bind(class(|class| class.3.to_owned()))
        .bind(class(|class| class.4.to_owned()))
        .bind(days.keys().map(|(_, _, class)| class.5).collect::<Vec<_>>())
        .bind(days.values().copied().collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}
