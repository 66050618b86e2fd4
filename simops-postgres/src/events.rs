//! The event log, and its counts per run.

use std::collections::BTreeMap;
use std::collections::HashSet;

use async_trait::async_trait;
use simops::Result;
use simops::event::{Event, NewEvent, RuntimeMode};
use simops::store::{ActivityScope, EventCount, EventFilter, EventStore, Page};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use crate::PostgresStore;
use crate::codec::{Json, Micros, one_more};
use crate::error::Work;
use crate::link::Link;
use crate::tally::Days;
use crate::transaction::Base;

pub(crate) const COLUMNS: &str =
    "id, run_id, agent_id, event_type, description, metadata, created_at";

#[async_trait]
impl EventStore for PostgresStore {
    async fn append(&self, events: &[NewEvent]) -> Result<()> {
        self.events.call(events.to_vec()).await
    }

    async fn events(&self, filter: &EventFilter) -> Result<Page<Event>> {
        self.base
            .look(|mut connection| async move {
                let page = list(&mut connection, filter).await?;
                Ok((connection, page))
            })
            .await
    }

    async fn event(&self, id: i64) -> Result<Option<Event>> {
        self.base
            .look(|mut connection| async move {
                let sql = format!("SELECT {COLUMNS} FROM events WHERE id = $1");
                let row = sqlx::query(AssertSqlSafe(sql)).bind(id);
                let row = row.fetch_optional(&mut *connection).await?;
                Ok((connection, row.as_ref().map(event).transpose()?))
            })
            .await
    }

    async fn count_events(&self, scope: &ActivityScope) -> Result<Vec<EventCount>> {
        self.base
            .look(|mut connection| async move {
                let counts = count(&mut connection, scope).await?;
                Ok((connection, counts))
            })
            .await
    }
}

/// Appends what several callers bring, in one transaction. Events have uids, so what was lost with
/// its connection is appended again.
pub(crate) async fn append_all(base: Base, calls: Vec<Vec<NewEvent>>) -> Result<Vec<Result<()>>> {
    let answers = calls.iter().map(|_| Ok(())).collect();
    let events: Vec<_> = calls.into_iter().flatten().collect();
    let events = &events;
    base.write_known(|mut tx| async move {
        append(&mut tx, events).await?;
        Ok((tx, ()))
    })
    .await?;
    Ok(answers)
}

/// Appends events in order, leaving out those that are stored already.
pub(crate) async fn append(connection: &mut Link, events: &[NewEvent]) -> Work<()> {
    // Of one uid the first counts.
    let mut seen = HashSet::new();
    let events: Vec<_> = events.iter().filter(|event| seen.insert(event.uid)).collect();
    if events.is_empty() {
        return Ok(());
    }
    // Until the commit, so that ids are given in the order in which events can be seen: nobody
    // stands between those of one append, and who reads on after an id misses none.
    sqlx::query(
        "SELECT pg_advisory_xact_lock(hashtext('simops events'), 'events'::regclass::oid::int)",
    )
    .execute(&mut *connection)
    .await?;
    let modes: Vec<_> =
        events.iter().map(|event| event.runtime_mode().map_or("", RuntimeMode::as_str)).collect();
    let column =
        |of: fn(&NewEvent) -> &str| events.iter().map(|event| of(event)).collect::<Vec<_>>();
    let uids: Vec<Uuid> = events.iter().map(|event| event.uid).collect();
    let inserted: Vec<(Uuid,)> = sqlx::query_as(
        "INSERT INTO events (uid, run_id, agent_id, event_type, mode, description, metadata, \
             created_at, category, enforcement) \
         SELECT uid, run_id, agent_id, event_type, mode, description, metadata, created_at, \
             category, enforcement \
         FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], \
             $7::json[], $8::timestamptz[], $9::text[], $10::bool[]) WITH ORDINALITY AS new \
             (uid, run_id, agent_id, event_type, mode, description, metadata, created_at, \
             category, enforcement, place) \
         ORDER BY place ON CONFLICT DO NOTHING RETURNING uid",
    )
    .bind(uids)
    .bind(events.iter().map(|event| event.run_id.as_deref()).collect::<Vec<_>>())
    .bind(events.iter().map(|event| event.agent_id).collect::<Vec<_>>())
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
    // Last, because its rows are those that everybody waits for; sorted, so that nobody waits in a
    // circle.
    let mut counts = BTreeMap::<_, i64>::new();
    let mut days = Days::default();
    for (event, mode) in events.iter().zip(&modes).filter(|(e, _)| inserted.contains(&e.uid)) {
        days.add(event);
        if let Some(run_id) = &event.run_id {
            *counts.entry((run_id.as_str(), event.event_type.as_str(), *mode)).or_default() += 1;
        }
    }
    add_counts(&mut *connection, &counts).await?;
    days.store(connection).await
}

async fn add_counts(connection: &mut Link, counts: &BTreeMap<(&str, &str, &str), i64>) -> Work<()> {
    if counts.is_empty() {
        return Ok(());
    }
    let column = |of: fn(&(&'_ str, &'_ str, &'_ str)) -> String| {
        counts.keys().map(of).collect::<Vec<String>>()
    };
    sqlx::query(
        "INSERT INTO event_counts (run_id, event_type, mode, count) \
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) \
         ON CONFLICT (run_id, event_type, mode) DO UPDATE \
         SET count = event_counts.count + excluded.count",
    )
    .bind(column(|key| key.0.to_owned()))
    .bind(column(|key| key.1.to_owned()))
    .bind(column(|key| key.2.to_owned()))
    .bind(counts.values().copied().collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

async fn list(connection: &mut Link, filter: &EventFilter) -> Work<Page<Event>> {
    let mut sql = format!("SELECT {COLUMNS} FROM events WHERE id < $1");
    let conditions = [
        ("run_id =", filter.run_id.is_some()),
        ("event_type =", filter.event_type.is_some()),
        ("created_at >", filter.after.is_some()),
        ("created_at <=", filter.until.is_some()),
    ];
    let mut place = 1;
    for (condition, _) in conditions.iter().filter(|(_, wanted)| *wanted) {
        place += 1;
        sql.push_str(&format!(" AND {condition} ${place}"));
    }
    sql.push_str(&format!(" ORDER BY id DESC LIMIT ${}", place + 1));
    let mut query = sqlx::query(AssertSqlSafe(sql)).bind(filter.before.unwrap_or(i64::MAX));
    for wanted in [&filter.run_id, &filter.event_type].into_iter().flatten() {
        query = query.bind(wanted);
    }
    for bound in [filter.after, filter.until].into_iter().flatten() {
        query = query.bind(Micros(bound));
    }
    let rows = query.bind(one_more(filter.limit)).fetch_all(connection).await?;
    let events = rows.iter().map(event).collect::<sqlx::Result<_>>()?;
    Ok(Page::cut(events, filter.limit, |event| event.id))
}

async fn count(connection: &mut Link, scope: &ActivityScope) -> Work<Vec<EventCount>> {
    let query = match scope {
        ActivityScope::Run(run_id) => sqlx::query(
            "SELECT event_type, mode, count FROM event_counts WHERE run_id = $1 ORDER BY 1, 2",
        )
        .bind(run_id),
        ActivityScope::Since(since) => sqlx::query(
            "SELECT event_type, mode, count(*) FROM events WHERE created_at >= $1 \
             GROUP BY 1, 2 ORDER BY 1, 2",
        )
        .bind(Micros(*since)),
    };
    let rows = query.fetch_all(connection).await?;
    let counts = rows.iter().map(|row| {
        Ok(EventCount {
            event_type: row.try_get(0)?,
            mode: RuntimeMode::parse(row.try_get(1)?),
            count: row.try_get(2)?,
        })
    });
    Ok(counts.collect::<sqlx::Result<_>>()?)
}

pub(crate) fn event(row: &PgRow) -> sqlx::Result<Event> {
    Ok(Event {
        id: row.try_get(0)?,
        run_id: row.try_get(1)?,
        agent_id: row.try_get(2)?,
        event_type: row.try_get(3)?,
        description: row.try_get(4)?,
        metadata: row.try_get::<Json<_>, _>(5)?.0,
        created_at: row.try_get::<Micros, _>(6)?.0,
    })
}
