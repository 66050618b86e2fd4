//! Visitors' events, appended in one transaction with the sums of their days.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use jiff::ToSpan;
use jiff::civil::Date;
use simops::kpi::Days;
use simops::kpi::{CountedSteps, DaySums, KpiEvent, LoggedVisit, Steps, VisitorSteps, WrongSteps};
use simops::store::rules::{RETENTION_DAYS, apply_steps};
use simops::store::sql::count;
use simops::store::{KpiBasis, KpiSnapshot, KpiStore, SelectedVisits, VisitFilter};
use simops::{Error, Result};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::codec::{Json, Micros};
use crate::connection::TxMode;
use crate::error::{Work, is_duplicate};
use crate::kpi_dedup_index::DedupIndex;
use crate::kpi_rows::{days, insert_steps, lock, put_steps, put_sums, replace_token, steps, sums};
use crate::link::Link;
use crate::transaction::Base;
use crate::{PostgresStore, kpi_recount};

#[async_trait]
impl KpiStore for PostgresStore {
    async fn record_kpi(&self, events: &[KpiEvent]) -> Result<u64> {
        self.kpi.call(events.to_vec()).await
    }

    async fn kpi_days(&self, first: Date, last: Date) -> Result<Days> {
        self.base
            .query(|mut connection| async move {
                let days = days(&mut connection, first, last).await?;
                Ok((connection, days))
            })
            .await
    }

    async fn select_visits(&self, filter: &VisitFilter) -> Result<SelectedVisits> {
        let until = kpi_recount::position(&self.base).await?;
        self.base
            .run(TxMode::ReadLong, |mut tx| async move {
                let mut visits = kpi_recount::select_after(&mut tx, filter, 0).await?;
                visits.sort_unstable();
                Ok((tx, SelectedVisits { visits, until }))
            })
            .await
    }

    async fn delete_visits(&self, filter: &VisitFilter, piece: &SelectedVisits) -> Result<u64> {
        self.base
            .run(TxMode::WriteLong, |mut tx| async move {
                let deleted = kpi_recount::delete_visits(&mut tx, filter, piece).await?;
                Ok((tx, deleted))
            })
            .await
    }

    async fn kpi_position(&self) -> Result<i64> {
        kpi_recount::position(&self.base).await
    }

    async fn kpi_log(&self, after: i64, until: i64, limit: usize) -> Result<Vec<LoggedVisit>> {
        self.base
            .run(TxMode::ReadLong, |mut tx| async move {
                let done = kpi_recount::log(&mut tx, after, until, count(limit)).await?;
                Ok((tx, done))
            })
            .await
    }

    async fn kpi_basis(&self) -> Result<KpiBasis> {
        self.base
            .run(TxMode::ReadLong, |mut tx| async move {
                let done = kpi_recount::basis(&mut tx).await?;
                Ok((tx, done))
            })
            .await
    }

    async fn compare_steps(&self, counted: Arc<CountedSteps>) -> Result<(i64, Vec<WrongSteps>)> {
        let counted = &*counted;
        self.base
            .run(TxMode::ReadLong, |mut tx| async move {
                let done = kpi_recount::compare(&mut tx, counted).await?;
                Ok((tx, done))
            })
            .await
    }

    async fn visitor_steps(&self, keys: Vec<(Uuid, Date)>) -> Result<VisitorSteps> {
        let keys = &keys;
        self.base
            .run(TxMode::ReadLong, |mut tx| async move {
                let done = steps(&mut tx, keys).await?;
                Ok((tx, done))
            })
            .await
    }

    async fn kpi_snapshot(&self, first: Date, last: Date, after: i64) -> Result<KpiSnapshot> {
        self.base
            .run(TxMode::ReadLong, |mut tx| async move {
                let done = kpi_recount::snapshot(&mut tx, first, last, after).await?;
                Ok((tx, done))
            })
            .await
    }

    async fn correct_steps(
        &self,
        revision: i64,
        counted: Arc<Vec<((Uuid, Date), Steps)>>,
        until: i64,
    ) -> Result<Option<i64>> {
        let counted = &*counted;
        self.base
            .run(TxMode::WriteLong, |mut tx| async move {
                let done = kpi_recount::correct_steps(&mut tx, revision, counted, until).await?;
                Ok((tx, done))
            })
            .await
    }

    async fn correct_sums(&self, revision: i64, changes: Arc<Days>) -> Result<Option<i64>> {
        let changes = &*changes;
        self.base
            .run(TxMode::WriteLong, |mut tx| async move {
                let done = kpi_recount::correct_sums(&mut tx, revision, changes).await?;
                Ok((tx, done))
            })
            .await
    }
}

/// Records the events of several calls in one transaction; how many of each were new. Events have
/// uids, so a transaction that was lost with its connection is repeated; events that were durable are
/// then not new.
pub(crate) async fn record_all(
    base: Base,
    known: DedupIndex,
    calls: Vec<Vec<KpiEvent>>,
) -> Result<Vec<Result<u64>>> {
    // Of events with the same uid, the first counts.
    let mut seen = HashSet::new();
    let unique = calls.iter().flatten().filter(|event| seen.insert(event.uid));
    let mut unique: Vec<_> = unique.collect();
    // Sorted, to avoid deadlocks with a process that records the same events.
    unique.sort_unstable_by_key(|event| event.uid);
    // Usually all are new, and inserts that fail on a conflict cost half of those that skip it.
    let recorded = match record(&base, &known, &unique, Expect::New).await {
        Err(error) if is_duplicate(&error) => {
            record(&base, &known, &unique, Expect::MaybeStored).await
        }
        recorded => recorded,
    };
    let mut new = recorded?;
    let count = |call: &Vec<KpiEvent>| call.iter().filter(|event| new.remove(&event.uid)).count();
    Ok(calls.iter().map(count).map(|count| Ok(count as u64)).collect())
}

/// What is expected of the rows to insert.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// A stored row rolls the transaction back.
    New,
    /// A stored row is skipped or replaced.
    MaybeStored,
}

/// The uids of the events that were new.
async fn record(
    base: &Base,
    known: &DedupIndex,
    events: &[&KpiEvent],
    expect: Expect,
) -> Result<HashSet<Uuid>> {
    base.run(TxMode::Write, |mut tx| async move {
        // Before the lock, while another transaction may still change sums.
        let new = insert(&mut tx, events, expect).await?;
        let token = lock(&mut tx).await?;
        let recorded: Vec<_> = events.iter().filter(|event| new.contains(&event.uid)).collect();
        if !recorded.is_empty() {
            let steps = change_sums(&mut tx, known.take(token), &recorded, expect).await?;
            known.put(replace_token(&mut tx).await?, steps);
        }
        Ok((tx, new))
    })
    .await
}

const INSERT_EVENTS: &str = "INSERT INTO kpi_events (uid, kind, visitor_id, session_id, run_id, event_id, surface, \
         target, path, referrer, metadata, occurred_at, received_at) \
     SELECT * FROM unnest($1::uuid[], $2::smallint[], $3::text[], $4::text[], $5::text[], \
         $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::json[], \
         $12::timestamptz[], $13::timestamptz[])";

/// Inserts events; the uids of those that were not stored.
async fn insert(
    connection: &mut Link,
    events: &[&KpiEvent],
    expect: Expect,
) -> Work<HashSet<Uuid>> {
    if events.is_empty() {
        return Ok(HashSet::new());
    }
    let kind = |event: &&KpiEvent| i16::try_from(event.kind.code()).unwrap_or(i16::MAX);
    let text = |of: fn(&KpiEvent) -> Option<&str>| {
        events.iter().map(|event| of(event)).collect::<Vec<_>>()
    };
    let statement = match expect {
        Expect::New => INSERT_EVENTS.to_owned(),
        Expect::MaybeStored => format!("{INSERT_EVENTS} ON CONFLICT DO NOTHING RETURNING uid"),
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
    Ok(match expect {
        Expect::New => events.iter().map(|event| event.uid).collect(),
        Expect::MaybeStored => inserted.into_iter().map(|(uid,)| uid).collect(),
    })
}

/// Changes the sums and steps by `events`; the steps that are known then.
async fn change_sums(
    connection: &mut Link,
    mut known: VisitorSteps,
    events: &[&&KpiEvent],
    expect: Expect,
) -> Work<VisitorSteps> {
    let mut changes: BTreeMap<Date, DaySums> = BTreeMap::new();
    let mut seen: BTreeMap<(Uuid, Date), Steps> = BTreeMap::new();
    for event in events {
        changes.entry(event.day()).or_default().count(event.kind);
        let steps = seen.entry((event.visitor, event.day())).or_default();
        *steps = *steps | event.kind.step();
    }
    let stored = sums(connection, &days_near(&seen)).await?;
    let unknown: Vec<_> =
        keys(&seen, &stored).into_iter().filter(|key| !known.contains_key(key)).collect();
    known.extend(unknown.iter().map(|key| (*key, Steps::default())));
    known.extend(steps(connection, &unknown).await?);
    let (mut new, mut changed) = (Vec::new(), Vec::new());
    for ((visitor, day), seen) in seen {
        let on = |day| Ok::<_, Error>(known.get(&(visitor, day)).copied().unwrap_or_default());
        let change = |day, change: &dyn Fn(&mut DaySums)| change(changes.entry(day).or_default());
        let before = on(day)?;
        let steps = apply_steps(day, seen, on, change)?;
        if steps != before {
            known.insert((visitor, day), steps);
            let is_new = expect == Expect::New && before == Steps::default();
            if is_new { &mut new } else { &mut changed }.push(((visitor, day), steps));
        }
    }
    insert_steps(connection, &new).await?;
    put_steps(connection, &changed).await?;
    for (day, change) in &mut changes {
        *change = stored.get(day).copied().unwrap_or_default().plus(change);
    }
    put_sums(connection, &changes).await?;
    Ok(known)
}

/// The days whose sums `seen` may change or depend on.
fn days_near(seen: &BTreeMap<(Uuid, Date), Steps>) -> BTreeSet<Date> {
    let days: BTreeSet<_> = seen.keys().map(|(_, day)| *day).collect();
    let near = |day: &Date| {
        let day = *day;
        let around = RETENTION_DAYS.iter().flat_map(|days| [-days, *days]).chain([0]);
        around.filter_map(move |days| day.checked_add(days.days()).ok())
    };
    days.iter().flat_map(near).collect()
}

/// The keys of the steps that `seen` depends on: its own, and for viewers the days of a return. Days
/// without stored viewers are left out.
fn keys(seen: &BTreeMap<(Uuid, Date), Steps>, stored: &Days) -> BTreeSet<(Uuid, Date)> {
    let viewed = |day: &Date| stored.get(day).is_some_and(|sums| sums.viewers > 0);
    let around = |(&(visitor, day), steps): (&(Uuid, Date), &Steps)| {
        let returns: &[i64] = if steps.is_viewer() { &RETENTION_DAYS } else { &[] };
        let near = returns.iter().flat_map(|days| [-days, *days]);
        let near = near.filter_map(move |days| day.checked_add(days.days()).ok());
        near.filter(viewed).chain([day]).map(move |day| (visitor, day))
    };
    seen.iter().flat_map(around).collect()
}
