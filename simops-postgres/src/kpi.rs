//! What visitors did: events appended, and the sums of their days moved in the same transaction.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use async_trait::async_trait;
use jiff::ToSpan;
use jiff::civil::Date;
use simops::kpi::summary::Days;
use simops::kpi::sums::{RETENTION_DAYS, SUM_FIELDS, apply_steps};
use simops::kpi::{DaySums, KpiEvent, KpiRecount, Steps};
use simops::store::KpiStore;
use simops::{Error, ErrorKind, Result};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use crate::PostgresStore;
use crate::codec::{Day, Json, Micros};
use crate::error::{Work, is_duplicate};
use crate::kpi_known::{Known, StepsOf};
use crate::kpi_recount::{rebuild, recount};
use crate::link::Link;
use crate::transaction::Base;

#[async_trait]
impl KpiStore for PostgresStore {
    async fn record_kpi(&self, events: &[KpiEvent]) -> Result<u64> {
        self.kpi.call(events.to_vec()).await
    }

    async fn kpi_days(&self, first: Date, last: Date) -> Result<Days> {
        self.base
            .look(|mut connection| async move {
                let days = days(&mut connection, first, last).await?;
                Ok((connection, days))
            })
            .await
    }

    async fn recount_kpi(&self) -> Result<KpiRecount> {
        self.base
            .read_long(|mut connection| async move {
                let found = recount(&mut connection).await?;
                Ok((connection, found))
            })
            .await
    }

    async fn rebuild_kpi(&self) -> Result<KpiRecount> {
        self.base.write_long(rebuild).await
    }
}

/// Records what several callers bring, in one transaction; how many of each were new. Events have
/// uids, so what was lost with its connection is recorded again; what was durable then is not new.
pub(crate) async fn record_all(
    base: Base,
    known: Known,
    calls: Vec<Vec<KpiEvent>>,
) -> Result<Vec<Result<u64>>> {
    // Of one uid the first counts.
    let mut seen = HashSet::new();
    let fresh = calls.iter().flatten().filter(|event| seen.insert(event.uid));
    let mut fresh: Vec<_> = fresh.collect();
    // Whoever brings the same ones brings them in the same order, so that nobody waits in a circle.
    fresh.sort_unstable_by_key(|event| event.uid);
    // Mostly all are new, and rows that must be new cost half of those that may be there.
    let recorded = match record(&base, &known, &fresh, Rows::AreNew).await {
        Err(error) if is_duplicate(&error) => record(&base, &known, &fresh, Rows::MayBeThere).await,
        recorded => recorded,
    };
    let mut new = recorded?;
    let count = |call: &Vec<KpiEvent>| call.iter().filter(|event| new.remove(&event.uid)).count();
    Ok(calls.iter().map(count).map(|count| Ok(count as u64)).collect())
}

/// What is expected of the rows to be written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rows {
    /// One that is there undoes the transaction.
    AreNew,
    /// One that is there stays, or is replaced.
    MayBeThere,
}

/// The uids of the events that were new.
async fn record(
    base: &Base,
    known: &Known,
    events: &[&KpiEvent],
    rows: Rows,
) -> Result<HashSet<Uuid>> {
    base.write_known(|mut tx| async move {
        // While another still moves sums: its line begins where they are read.
        let new = insert(&mut tx, events, rows).await?;
        let token = lock(&mut tx).await?;
        let recorded: Vec<_> = events.iter().filter(|event| new.contains(&event.uid)).collect();
        if !recorded.is_empty() {
            let steps = move_sums(&mut tx, known.take(token), &recorded, rows).await?;
            known.put(draw_token(&mut tx).await?, steps);
        }
        Ok((tx, new))
    })
    .await
}

/// Stands in the line of those who record; the token of what visitors did.
pub(crate) async fn lock(connection: &mut Link) -> Work<Uuid> {
    let token = sqlx::query_as("SELECT token FROM kpi_line FOR UPDATE");
    let (token,): (Uuid,) = token.fetch_one(connection).await?;
    Ok(token)
}

/// What visitors did has changed: nobody's memory of it holds but that under the new token.
pub(crate) async fn draw_token(connection: &mut Link) -> Work<Uuid> {
    let token = Uuid::now_v7();
    sqlx::query("UPDATE kpi_line SET token = $1").bind(token).execute(connection).await?;
    Ok(token)
}

const INSERT_EVENTS: &str = "INSERT INTO kpi_events (uid, kind, visitor_id, session_id, run_id, event_id, surface, \
         target, path, referrer, metadata, occurred_at, received_at) \
     SELECT * FROM unnest($1::uuid[], $2::smallint[], $3::text[], $4::text[], $5::text[], \
         $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::json[], \
         $12::timestamptz[], $13::timestamptz[])";

/// The uids of those that were not stored.
async fn insert(connection: &mut Link, events: &[&KpiEvent], rows: Rows) -> Work<HashSet<Uuid>> {
    if events.is_empty() {
        return Ok(HashSet::new());
    }
    let kind = |event: &&KpiEvent| i16::try_from(event.kind.code()).unwrap_or(i16::MAX);
    let text = |of: fn(&KpiEvent) -> Option<&str>| {
        events.iter().map(|event| of(event)).collect::<Vec<_>>()
    };
    let statement = match rows {
        Rows::AreNew => INSERT_EVENTS.to_owned(),
        Rows::MayBeThere => format!("{INSERT_EVENTS} ON CONFLICT DO NOTHING RETURNING uid"),
    };
    let inserted: Vec<(Uuid,)> = sqlx::query_as(AssertSqlSafe(statement))
        .bind(events.iter().map(|event| event.uid).collect::<Vec<_>>())
        .bind(events.iter().map(kind).collect::<Vec<_>>())
        .bind(text(|event| Some(&event.visitor_id)))
        .bind(text(|event| event.session_id.as_deref()))
        .bind(text(|event| event.run_id.as_deref()))
        .bind(text(|event| event.event_id.as_deref()))
        .bind(text(|event| event.surface.as_deref()))
        .bind(text(|event| event.target.as_deref()))
        .bind(text(|event| event.path.as_deref()))
        .bind(text(|event| event.referrer.as_deref()))
        .bind(events.iter().map(|event| event.metadata.as_ref().map(Json)).collect::<Vec<_>>())
        .bind(events.iter().map(|event| Micros(event.occurred_at)).collect::<Vec<_>>())
        .bind(events.iter().map(|event| Micros(event.received_at)).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    Ok(match rows {
        Rows::AreNew => events.iter().map(|event| event.uid).collect(),
        Rows::MayBeThere => inserted.into_iter().map(|(uid,)| uid).collect(),
    })
}

/// What is known of visitors then.
async fn move_sums(
    connection: &mut Link,
    mut known: StepsOf,
    events: &[&&KpiEvent],
    rows: Rows,
) -> Work<StepsOf> {
    let mut moved: BTreeMap<Date, DaySums> = BTreeMap::new();
    let mut seen: BTreeMap<(Uuid, Date), Steps> = BTreeMap::new();
    for event in events {
        moved.entry(event.day()).or_default().count(event.kind);
        let steps = seen.entry((event.visitor, event.day())).or_default();
        *steps = *steps | event.kind.step();
    }
    let kept = sums_of(connection, &days_near(&seen)).await?;
    let unknown: Vec<_> =
        places(&seen, &kept).into_iter().filter(|place| !known.contains_key(place)).collect();
    known.extend(unknown.iter().map(|place| (*place, Steps::default())));
    known.extend(steps(connection, &unknown).await?);
    let (mut new, mut changed) = (Vec::new(), Vec::new());
    for ((visitor, day), seen) in seen {
        let on = |day| Ok::<_, Error>(known.get(&(visitor, day)).copied().unwrap_or_default());
        let change = |day, change: &dyn Fn(&mut DaySums)| change(moved.entry(day).or_default());
        let before = on(day)?;
        let steps = apply_steps(day, seen, on, change)?;
        if steps != before {
            known.insert((visitor, day), steps);
            let is_new = rows == Rows::AreNew && before == Steps::default();
            if is_new { &mut new } else { &mut changed }.push(((visitor, day), steps));
        }
    }
    insert_steps(connection, &new).await?;
    put_steps(connection, &changed).await?;
    for (day, more) in &mut moved {
        *more = kept.get(day).copied().unwrap_or_default().plus(more);
    }
    put_sums(connection, &moved).await?;
    Ok(known)
}

/// The days that `seen` may move or be compared with.
fn days_near(seen: &BTreeMap<(Uuid, Date), Steps>) -> BTreeSet<Date> {
    let days: BTreeSet<_> = seen.keys().map(|(_, day)| *day).collect();
    let near = |day: &Date| {
        let day = *day;
        let around = RETENTION_DAYS.iter().flat_map(|days| [-days, *days]).chain([0]);
        around.filter_map(move |days| day.checked_add(days.days()).ok())
    };
    days.iter().flat_map(near).collect()
}

/// The places that visitors' steps on a day are compared with: that day, and for who may have become a
/// viewer those of a return. A day of which no viewer is `kept` has none to return.
fn places(seen: &BTreeMap<(Uuid, Date), Steps>, kept: &Days) -> BTreeSet<(Uuid, Date)> {
    let viewed = |day: &Date| kept.get(day).is_some_and(|sums| sums.viewers > 0);
    let around = |(&(visitor, day), steps): (&(Uuid, Date), &Steps)| {
        let returns: &[i64] = if steps.is_viewer() { &RETENTION_DAYS } else { &[] };
        let near = returns.iter().flat_map(|days| [-days, *days]);
        let near = near.filter_map(move |days| day.checked_add(days.days()).ok());
        near.filter(viewed).chain([day]).map(move |day| (visitor, day))
    };
    seen.iter().flat_map(around).collect()
}

async fn sums_of(connection: &mut Link, wanted: &BTreeSet<Date>) -> Work<Days> {
    let wanted: Vec<_> = wanted.iter().copied().map(Day).collect();
    let rows = sqlx::query("SELECT day, sums FROM kpi_days WHERE day = ANY($1)").bind(wanted);
    read_days(&rows.fetch_all(connection).await?)
}

async fn steps(connection: &mut Link, places: &[(Uuid, Date)]) -> Work<StepsOf> {
    if places.is_empty() {
        return Ok(StepsOf::new());
    }
    let rows = sqlx::query(
        // With the limit each place is looked up by itself, and never the whole table read.
        "SELECT asked.visitor, asked.day, found.steps \
         FROM unnest($1::uuid[], $2::date[]) AS asked (visitor, day), \
         LATERAL (SELECT steps FROM kpi_steps \
             WHERE kpi_steps.visitor = asked.visitor AND kpi_steps.day = asked.day LIMIT 1) AS found",
    )
    .bind(places.iter().map(|(visitor, _)| *visitor).collect::<Vec<_>>())
    .bind(places.iter().map(|(_, day)| Day(*day)).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let found = rows
        .iter()
        .map(|row| Ok(((row.try_get(0)?, row.try_get::<Day, _>(1)?.0), of_bits(row.try_get(2)?))));
    Ok(found.collect::<sqlx::Result<_>>()?)
}

/// Bits as they are stored.
pub(crate) fn of_bits(bits: i32) -> Steps {
    Steps(u16::try_from(bits).unwrap_or_default())
}

/// Keeps what visitors have done first on a day.
async fn insert_steps(connection: &mut Link, new: &[((Uuid, Date), Steps)]) -> Work<()> {
    write_steps(connection, INSERT_STEPS, new).await
}

/// Replaces what visitors have done.
pub(crate) async fn put_steps(
    connection: &mut Link,
    changed: &[((Uuid, Date), Steps)],
) -> Work<()> {
    let replacing = "ON CONFLICT (visitor, day) DO UPDATE SET steps = excluded.steps";
    write_steps(connection, &format!("{INSERT_STEPS} {replacing}"), changed).await
}

const INSERT_STEPS: &str = "INSERT INTO kpi_steps (visitor, day, steps) \
                            SELECT * FROM unnest($1::uuid[], $2::date[], $3::integer[])";

async fn write_steps(
    connection: &mut Link,
    statement: &str,
    steps: &[((Uuid, Date), Steps)],
) -> Work<()> {
    if steps.is_empty() {
        return Ok(());
    }
    sqlx::query(AssertSqlSafe(statement.to_owned()))
        .bind(steps.iter().map(|((visitor, _), _)| *visitor).collect::<Vec<_>>())
        .bind(steps.iter().map(|((_, day), _)| Day(*day)).collect::<Vec<_>>())
        .bind(steps.iter().map(|(_, steps)| i32::from(steps.0)).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

async fn days(connection: &mut Link, first: Date, last: Date) -> Work<Days> {
    let rows = sqlx::query("SELECT day, sums FROM kpi_days WHERE day BETWEEN $1 AND $2")
        .bind(Day::at_least(first))
        .bind(Day::at_least(last))
        .fetch_all(connection)
        .await?;
    read_days(&rows)
}

fn read_days(rows: &[PgRow]) -> Work<Days> {
    rows.iter().map(|row| Ok((row.try_get::<Day, _>(0)?.0, of_figures(row.try_get(1)?)?))).collect()
}

/// Every day that has sums.
pub(crate) async fn all_days(connection: &mut Link) -> Work<Days> {
    days(connection, Date::MIN, Date::MAX).await
}

/// Replaces the sums of days.
pub(crate) async fn put_sums(connection: &mut Link, sums: &BTreeMap<Date, DaySums>) -> Work<()> {
    for (day, sums) in sums {
        sqlx::query(
            "INSERT INTO kpi_days (day, sums) VALUES ($1, $2) \
             ON CONFLICT (day) DO UPDATE SET sums = excluded.sums",
        )
        .bind(Day(*day))
        .bind(sums.to_array().as_slice())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

fn of_figures(figures: Vec<i64>) -> Result<DaySums> {
    let unreadable =
        |_| Error::new(ErrorKind::Unusable, "a day's sums cannot be read: rebuild them");
    let figures: [i64; SUM_FIELDS] = figures.try_into().map_err(unreadable)?;
    Ok(DaySums::from_array(&figures))
}
