//! Visitors' events, appended in one transaction with the sums of their days.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use async_trait::async_trait;
use jiff::civil::Date;
use rusqlite::{Connection, params};
use simops::Result;
use simops::kpi::Days;
use simops::kpi::{DaySums, KpiEvent, KpiRecount};
use simops::store::KpiStore;
use simops::store::rules::apply_steps;
use uuid::Uuid;

use crate::SqliteStore;
use crate::codec::{Json, Micros};
use crate::error::Work;
use crate::kpi_recount::{rebuild, recount};
use crate::kpi_rows::{days, put_sums, sums};
use crate::kpi_write_buffer::WriteBuffer;

#[async_trait]
impl KpiStore for SqliteStore {
    async fn record_kpi(&self, events: &[KpiEvent]) -> Result<u64> {
        let (events, buffer) = (events.to_vec(), self.kpi_buffer.clone());
        let recorded = self.on_writer(move |tx| {
            // Only the writer thread locks it.
            let mut buffer = buffer.lock().unwrap_or_else(PoisonError::into_inner);
            let recorded = buffer.catch_up(tx).and_then(|()| record(tx, &mut buffer, &events));
            if recorded.is_err() {
                buffer.clear();
            }
            // Returned, so that the caller drops them and not the writer thread.
            Ok((recorded?, events))
        });
        Ok(recorded.await?.0)
    }

    async fn kpi_days(&self, first: Date, last: Date) -> Result<Days> {
        self.on_reader(move |tx| days(tx, first, last)).await
    }

    async fn recount_kpi(&self) -> Result<KpiRecount> {
        self.on_reader(|tx| recount(tx)).await
    }

    async fn delete_visits(&self, prefix: &str) -> Result<u64> {
        let (prefix, buffer) = (prefix.to_owned(), self.kpi_buffer.clone());
        self.on_writer(move |tx| {
            buffer.lock().unwrap_or_else(PoisonError::into_inner).clear();
            let deleted = tx.execute(
                "DELETE FROM kpi_events WHERE substr(visitor_id, 1, length(?1)) = ?1",
                [&prefix],
            )?;
            rebuild(tx)?;
            Ok(deleted as u64)
        })
        .await
    }

    async fn rebuild_kpi(&self) -> Result<KpiRecount> {
        let buffer = self.kpi_buffer.clone();
        self.on_writer(move |tx| {
            buffer.lock().unwrap_or_else(PoisonError::into_inner).clear();
            rebuild(tx)
        })
        .await
    }
}

fn record(connection: &Connection, buffer: &mut WriteBuffer, events: &[KpiEvent]) -> Work<u64> {
    let mut changes: BTreeMap<Date, DaySums> = BTreeMap::new();
    let mut recorded = 0;
    // The random half of a UUID.
    let batch = Uuid::now_v7().as_u64_pair().1.cast_signed();
    // Positional: looking up named parameters would cost as much as the row.
    let mut insert = connection.prepare_cached(
        "INSERT INTO kpi_events (uid, batch, kind, visitor_id, session_id, run_id, event_id, \
             surface, target, path, referrer, metadata, occurred_at, received_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    )?;
    for event in events {
        if !buffer.is_new(connection, event.uid)? {
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
        buffer.appended(connection.last_insert_rowid(), batch, event.uid);
        let day = event.day();
        changes.entry(day).or_default().count(event.kind);
        let known = apply_steps(
            day,
            event.kind.step(),
            |day| buffer.steps(connection, event.visitor, day),
            |day, change| change(changes.entry(day).or_default()),
        )?;
        buffer.set_steps(event.visitor, day, known);
        recorded += 1;
    }
    for (day, change) in changes {
        put_sums(connection, day, &sums(connection, day)?.plus(&change))?;
    }
    buffer.merge_if_full(connection)?;
    Ok(recorded)
}
