//! What visitors did: events appended, and the sums of their days moved in the same transaction.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use async_trait::async_trait;
use jiff::civil::Date;
use rusqlite::{Connection, OptionalExtension, params};
use simops::kpi::summary::Days;
use simops::kpi::sums::{SUM_FIELDS, apply_steps};
use simops::kpi::{DaySums, KpiEvent, KpiRecount};
use simops::store::KpiStore;
use simops::{Error, Result};
use uuid::Uuid;

use crate::SqliteStore;
use crate::codec::{Json, Micros, day_number, number_day};
use crate::error::Work;
use crate::kpi_recount::{rebuild, recount};
use crate::kpi_tail::Tail;

#[async_trait]
impl KpiStore for SqliteStore {
    async fn record_kpi(&self, events: &[KpiEvent]) -> Result<u64> {
        let (events, tail) = (events.to_vec(), self.kpi_tail.clone());
        let recorded = self.write(move |tx| {
            // Only the thread that writes takes it.
            let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
            let recorded = tail.catch_up(tx).and_then(|()| record(tx, &mut tail, &events));
            if recorded.is_err() {
                tail.forget();
            }
            // Whoever called drops them, not the thread that all writers wait for.
            Ok((recorded?, events))
        });
        Ok(recorded.await?.0)
    }

    async fn kpi_days(&self, first: Date, last: Date) -> Result<Days> {
        self.read(move |connection| days(connection, first, last)).await
    }

    async fn recount_kpi(&self) -> Result<KpiRecount> {
        self.read(recount).await
    }

    async fn rebuild_kpi(&self) -> Result<KpiRecount> {
        let tail = self.kpi_tail.clone();
        self.write(move |tx| {
            tail.lock().unwrap_or_else(PoisonError::into_inner).forget();
            rebuild(tx)
        })
        .await
    }
}

fn record(connection: &Connection, tail: &mut Tail, events: &[KpiEvent]) -> Work<u64> {
    let mut moved: BTreeMap<Date, DaySums> = BTreeMap::new();
    let mut recorded = 0;
    // The random half of an id.
    let batch = Uuid::now_v7().as_u64_pair().1.cast_signed();
    // By place: looking parameters up by name would cost as much as the row.
    let mut insert = connection.prepare_cached(
        "INSERT INTO kpi_events (uid, batch, kind, visitor_id, session_id, run_id, event_id, \
             surface, target, path, referrer, metadata, occurred_at, received_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    )?;
    for event in events {
        if !tail.is_new(connection, event.uid)? {
            continue;
        }
        insert.execute(params![
            event.uid.as_bytes(),
            batch,
            event.kind.code(),
            event.visitor_id,
            event.session_id,
            event.run_id,
            event.event_id,
            event.surface,
            event.target,
            event.path,
            event.referrer,
            event.metadata.as_ref().map(Json),
            Micros(event.occurred_at),
            Micros(event.received_at),
        ])?;
        tail.appended(connection.last_insert_rowid(), batch, event.uid);
        let day = event.day();
        moved.entry(day).or_default().count(event.kind);
        let known = apply_steps(
            day,
            event.kind.step(),
            |day| tail.steps(connection, event.visitor, day),
            |day, change| change(moved.entry(day).or_default()),
        )?;
        tail.set_steps(event.visitor, day, known);
        recorded += 1;
    }
    for (day, more) in moved {
        put_sums(connection, day, &sums(connection, day)?.plus(&more))?;
    }
    tail.fold_if_long(connection)?;
    Ok(recorded)
}

fn days(connection: &Connection, first: Date, last: Date) -> Work<Days> {
    let mut statement =
        connection.prepare_cached("SELECT day, sums FROM kpi_days WHERE day BETWEEN ?1 AND ?2")?;
    let rows = statement.query_map([day_number(first), day_number(last)], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, Json<Vec<i64>>>(1)?.0))
    })?;
    rows.map(|row| {
        let (day, figures) = row?;
        Ok((number_day(day)?, of_figures(&figures)?))
    })
    .collect()
}

/// Every day that has sums.
pub(crate) fn all_days(connection: &Connection) -> Work<Days> {
    days(connection, Date::MIN, Date::MAX)
}

fn sums(connection: &Connection, day: Date) -> Work<DaySums> {
    let mut statement = connection.prepare_cached("SELECT sums FROM kpi_days WHERE day = ?1")?;
    let found = statement.query_row([day_number(day)], |row| row.get::<_, Json<Vec<i64>>>(0));
    found.optional()?.map_or(Ok(DaySums::default()), |figures| of_figures(&figures.0))
}

pub(crate) fn put_sums(connection: &Connection, day: Date, sums: &DaySums) -> Work<()> {
    let mut statement =
        connection.prepare_cached("INSERT OR REPLACE INTO kpi_days (day, sums) VALUES (?1, ?2)")?;
    statement.execute(params![day_number(day), Json(sums.to_array().as_slice())])?;
    Ok(())
}

fn of_figures(figures: &[i64]) -> Work<DaySums> {
    let figures: &[i64; SUM_FIELDS] = figures.try_into().map_err(|_| {
        Error::new(simops::ErrorKind::Unusable, "a day's sums cannot be read: rebuild them")
    })?;
    Ok(DaySums::from_array(figures))
}
