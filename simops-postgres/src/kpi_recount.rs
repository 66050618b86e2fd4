//! The parts of a recount of visitors' events, and the deletion of visitors.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use futures_util::TryStreamExt;
use jiff::ToSpan;
use jiff::civil::Date;
use simops::clock::{begin_of, day_of};
use simops::kpi::{CountedSteps, DaySums, Days, LoggedVisit, Steps, VisitorSteps, WrongSteps};
use simops::store::rules::{
    RETENTION_DAYS, StepsComparison, change_of_sums, hash_key, neighbours, right_steps,
};
use simops::store::sql::{RETURNS_BY_DAY, STEPS_BY_DAY, day_sums, kpi_kind};
use simops::store::{KpiBasis, KpiSnapshot, SelectedVisits, VisitFilter};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row};
use tokio::time::sleep;
use uuid::Uuid;

use crate::codec::{Day, Micros};
use crate::error::Work;
use crate::kpi_rows::{
    delete_steps, lock, put_steps, put_sums, replace_token, steps, visitor_steps,
};
use crate::link::Link;
use crate::transaction::Base;

/// Pause between two looks at the transactions that are waited for.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// The transactions that have inserted events and have not ended. Ids are drawn under this lock on the
/// table, which lasts until the end of the transaction.
const WRITERS: &str = "SELECT DISTINCT virtualtransaction FROM pg_locks \
     WHERE granted AND relation = 'kpi_events'::regclass AND mode = 'RowExclusiveLock' \
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// The id of the last event that is recorded, once no event up to it is being recorded: transactions may
/// commit in another order than that of the ids of their events.
pub(crate) async fn position(base: &Base) -> simops::Result<i64> {
    let last = base.query(|mut connection| async move {
        let last = sqlx::query_as("SELECT coalesce(max(id), 0) FROM kpi_events");
        let (last,): (i64,) = last.fetch_one(&mut *connection).await?;
        Ok((connection, last))
    });
    let last = last.await?;
    let mut awaited = writers(base).await?;
    while !awaited.is_empty() {
        sleep(LOOK_INTERVAL).await;
        let now = writers(base).await?;
        awaited.retain(|writer| now.contains(writer));
    }
    Ok(last)
}

async fn writers(base: &Base) -> simops::Result<Vec<String>> {
    base.query(|mut connection| async move {
        let writers = sqlx::query_as(WRITERS).fetch_all(&mut *connection).await?;
        Ok((connection, writers.into_iter().map(|(id,): (String,)| id).collect()))
    })
    .await
}

/// The events after one id up to another, at most `limit`.
pub(crate) async fn log(
    connection: &mut Link,
    after: i64,
    until: i64,
    limit: i64,
) -> Work<Vec<LoggedVisit>> {
    let rows = sqlx::query(
        "SELECT id, kind::bigint, visitor_id, occurred_at FROM kpi_events \
         WHERE id > $1 AND id <= $2 ORDER BY id LIMIT $3",
    )
    .bind(after)
    .bind(until)
    .bind(limit)
    .fetch(connection);
    rows.map_err(Into::into).and_then(async |row| visit(&row)).try_collect().await
}

fn visit(row: &PgRow) -> Work<LoggedVisit> {
    let Micros(at) = row.try_get(3)?;
    Ok(LoggedVisit {
        position: row.try_get(0)?,
        kind: kpi_kind(row.try_get(1)?)?,
        visitor: hash_key(row.try_get(2)?),
        day: day_of(at),
    })
}

/// All events after an id that are visible.
async fn log_after(connection: &mut Link, after: i64) -> Work<Vec<LoggedVisit>> {
    log(connection, after, i64::MAX, i64::MAX).await
}

/// What changes a recount otherwise than by recording.
pub(crate) async fn basis(connection: &mut Link) -> Work<KpiBasis> {
    // In a schema of an earlier version, the name means the column of the outer query.
    let revision = sqlx::query_as(
        "SELECT (SELECT revision FROM kpi_line) FROM (SELECT 0::bigint AS revision) AS earlier",
    );
    let (revision,): (i64,) = revision.fetch_one(&mut *connection).await?;
    let mut pruned = Days::new();
    let rows = sqlx::query("SELECT day, kind::bigint, events FROM kpi_pruned");
    for row in rows.fetch_all(&mut *connection).await? {
        let sums: &mut DaySums = pruned.entry(row.try_get::<Day, _>(0)?.0).or_default();
        sums.count_many(kpi_kind(row.try_get(1)?)?, row.try_get(2)?);
    }
    Ok(KpiBasis { revision, pruned })
}

/// Increases the revision if it is still `revision`. The caller holds the lock.
async fn next_revision(connection: &mut Link, revision: i64) -> Work<Option<i64>> {
    let next = sqlx::query_as(
        "UPDATE kpi_line SET revision = revision + 1 WHERE revision = $1 RETURNING revision",
    );
    let next: Option<(i64,)> = next.bind(revision).fetch_optional(connection).await?;
    Ok(next.map(|(revision,)| revision))
}

/// Compares the stored steps of a range of visitors with counted ones.
pub(crate) async fn compare(
    connection: &mut Link,
    counted: &CountedSteps,
) -> Work<(i64, Vec<WrongSteps>)> {
    let basis = basis(connection).await?;
    let mut comparison = StepsComparison::new(counted, basis.pruned.into_keys().collect());
    for visit in log_after(connection, counted.position).await? {
        comparison.add_recent(&visit, true);
    }
    let mut rows = stored_steps(connection, counted);
    while let Some(row) = rows.try_next().await? {
        let ((visitor, day), steps) = visitor_steps(&row)?;
        comparison.add_stored(visitor, day, steps);
    }
    drop(rows);
    let mut stored = HashSet::new();
    if comparison.is_missing_some() {
        let mut rows = stored_steps(connection, counted);
        while let Some(row) = rows.try_next().await? {
            stored.insert(visitor_steps(&row)?.0);
        }
    }
    Ok((basis.revision, comparison.finish(&stored)))
}

fn stored_steps<'c>(
    connection: &'c mut Link,
    counted: &CountedSteps,
) -> futures_util::stream::BoxStream<'c, sqlx::Result<PgRow>> {
    sqlx::query("SELECT visitor, day, steps FROM kpi_steps WHERE visitor BETWEEN $1 AND $2")
        .bind(*counted.visitors.start())
        .bind(*counted.visitors.end())
        .fetch(connection)
}

/// The sums of a range of days, and what they should be equal to.
pub(crate) async fn snapshot(
    connection: &mut Link,
    first: Date,
    last: Date,
    after: i64,
) -> Work<KpiSnapshot> {
    let basis = basis(connection).await?;
    let (from, to) = (Day::at_least(first), Day::at_least(last));
    let (mut kept, mut by_steps, mut recent) = (Days::new(), Days::new(), Days::new());
    let rows = sqlx::query("SELECT day, sums FROM kpi_days WHERE day BETWEEN $1 AND $2");
    for row in rows.bind(from).bind(to).fetch_all(&mut *connection).await? {
        if let Ok(sums) = day_sums(&row.try_get::<Vec<i64>, _>(1)?) {
            kept.insert(row.try_get::<Day, _>(0)?.0, sums);
        }
    }
    let rows = sqlx::query(STEPS_BY_DAY).bind(from).bind(to);
    for row in rows.fetch_all(&mut *connection).await? {
        let sums: &mut DaySums = by_steps.entry(row.try_get::<Day, _>(0)?.0).or_default();
        let steps = u16::try_from(row.try_get::<i32, _>(1)?).unwrap_or_default();
        sums.add_visitors(Steps(steps), row.try_get(2)?);
    }
    for (index, days) in RETENTION_DAYS.iter().enumerate() {
        let days = i32::try_from(*days).unwrap_or_default();
        let rows = sqlx::query(RETURNS_BY_DAY).bind(days).bind(from).bind(to);
        let rows = rows.bind(i32::from(Steps::VIEWER.0)).fetch_all(&mut *connection);
        for row in rows.await? {
            let sums = by_steps.entry(row.try_get::<Day, _>(0)?.0).or_default();
            if let Some(returned) = sums.returned.get_mut(index) {
                *returned = row.try_get(1)?;
            }
        }
    }
    for visit in log_after(connection, after).await? {
        if (first..=last).contains(&visit.day) {
            recent.entry(visit.day).or_default().count(visit.kind);
        }
    }
    Ok(KpiSnapshot { basis, kept, by_steps, recent })
}

/// Replaces steps with those `counted` from the events up to `until` and those of later events.
pub(crate) async fn correct_steps(
    connection: &mut Link,
    expected: i64,
    counted: &[((Uuid, Date), Steps)],
    until: i64,
) -> Work<Option<i64>> {
    lock(connection).await?;
    let Some(revision) = next_revision(connection, expected).await? else { return Ok(None) };
    let pruned = basis(connection).await?.pruned;
    let mut right: VisitorSteps = counted.iter().copied().collect();
    for visit in log_after(connection, until).await? {
        if let Some(steps) = right.get_mut(&(visit.visitor, visit.day)) {
            *steps = *steps | visit.kind.step();
        }
    }
    let keys: Vec<_> = right.keys().copied().collect();
    let kept = steps(connection, &keys).await?;
    let right = right.into_iter().map(|(key, counted)| {
        let kept = kept.get(&key).copied().unwrap_or_default();
        (key, right_steps(counted, kept, pruned.contains_key(&key.1)))
    });
    let (put, gone): (Vec<_>, Vec<_>) = right.partition(|(_, steps)| *steps != Steps::default());
    put_steps(connection, &put).await?;
    delete_steps(connection, &gone.into_iter().map(|(key, _)| key).collect::<Vec<_>>()).await?;
    replace_token(connection).await?;
    Ok(Some(revision))
}

/// Adds `changes` to the sums of their days.
pub(crate) async fn correct_sums(
    connection: &mut Link,
    expected: i64,
    changes: &Days,
) -> Work<Option<i64>> {
    lock(connection).await?;
    let Some(revision) = next_revision(connection, expected).await? else { return Ok(None) };
    add_to_sums(connection, changes).await?;
    Ok(Some(revision))
}

/// Adds to the sums of days. Sums that are missing or cannot be read are taken for zero.
async fn add_to_sums(connection: &mut Link, changes: &Days) -> Work<()> {
    let mut sums = changes.clone();
    let days: Vec<_> = changes.keys().copied().map(Day).collect();
    let rows = sqlx::query("SELECT day, sums FROM kpi_days WHERE day = ANY($1)").bind(days);
    for row in rows.fetch_all(&mut *connection).await? {
        let kept = day_sums(&row.try_get::<Vec<i64>, _>(1)?).unwrap_or_default();
        if let Some(sums) = sums.get_mut(&row.try_get::<Day, _>(0)?.0) {
            *sums = sums.plus(&kept);
        }
    }
    put_sums(connection, &sums).await
}

/// Whether an event is selected, by the begin $2 and the end $3 of its day, ids of visitors $4 and what
/// they begin with $5.
const SELECTED: &str = "occurred_at >= coalesce($2, '-infinity') \
     AND occurred_at < coalesce($3, 'infinity') AND (visitor_id = ANY($4) OR EXISTS \
         (SELECT 1 FROM unnest($5::text[]) AS prefix WHERE starts_with(visitor_id, prefix)))";

/// Visitors and ids of the events after an id that `filter` selects.
pub(crate) async fn select_after(
    connection: &mut Link,
    filter: &VisitFilter,
    after: i64,
) -> Work<Vec<(Uuid, i64)>> {
    let select = format!("SELECT visitor_id, id FROM kpi_events WHERE id > $1 AND {SELECTED}");
    let (first, end) = bounds(filter);
    let rows = sqlx::query(AssertSqlSafe(select)).bind(after).bind(first).bind(end);
    let rows = rows.bind(Vec::from_iter(&filter.visitors)).bind(&filter.prefixes);
    let visit = async |row: PgRow| Ok((hash_key(row.try_get(0)?), row.try_get(1)?));
    Ok(rows.fetch(connection).and_then(visit).try_collect::<Vec<_>>().await?)
}

/// When the day of `filter` begins and ends.
fn bounds(filter: &VisitFilter) -> (Option<Micros>, Option<Micros>) {
    let end = filter.day.and_then(|day| day.checked_add(1.day()).ok());
    (filter.day.and_then(begin_of).map(Micros), end.and_then(begin_of).map(Micros))
}

/// Deletes a piece of what `filter` has selected, and later events of the same visitors.
pub(crate) async fn delete_visits(
    connection: &mut Link,
    filter: &VisitFilter,
    piece: &SelectedVisits,
) -> Work<u64> {
    lock(connection).await?;
    let basis = basis(connection).await?;
    next_revision(connection, basis.revision).await?;
    let visitors: HashSet<_> = piece.visits.iter().map(|(visitor, _)| *visitor).collect();
    let later = select_after(connection, filter, piece.until).await?;
    let later = later.iter().filter(|(visitor, _)| visitors.contains(visitor));
    let ids: Vec<_> = piece.visits.iter().chain(later).map(|(_, id)| *id).collect();
    let rows = sqlx::query(
        "DELETE FROM kpi_events WHERE id = ANY($1) \
         RETURNING id, kind::bigint, visitor_id, occurred_at",
    );
    let rows = rows.bind(ids).fetch_all(&mut *connection).await?;
    let (mut events, mut keys) = (Days::new(), BTreeSet::new());
    for row in &rows {
        let visit = visit(row)?;
        events.entry(visit.day).or_default().count(visit.kind);
        // What is known of pruned events stays.
        if !basis.pruned.contains_key(&visit.day) {
            keys.insert((visit.visitor, visit.day));
        }
    }
    let keys: Vec<_> = keys.into_iter().collect();
    let kept = steps(connection, &keys).await?;
    let gone = kept.into_iter().map(|((visitor, day), kept)| WrongSteps {
        visitor,
        day,
        kept,
        counted: Steps::default(),
    });
    let gone: Vec<_> = gone.collect();
    let known = steps(connection, &neighbours(&gone)).await?;
    let mut changes = change_of_sums(&gone, &known);
    for (day, events) in events {
        let change = changes.entry(day).or_default();
        *change = change.minus(&events);
    }
    delete_steps(connection, &keys).await?;
    add_to_sums(connection, &changes).await?;
    replace_token(connection).await?;
    Ok(rows.len() as u64)
}
