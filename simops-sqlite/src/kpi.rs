//! Visitors' events, appended in one transaction with the sums of their days.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use async_trait::async_trait;
use jiff::civil::Date;
use rusqlite::{Connection, params};
use simops::Result;
use simops::kpi::Days;
use simops::kpi::{CountedSteps, DaySums, KpiEvent, LoggedVisit, Steps, VisitorSteps, WrongSteps};
use simops::progress::Progress;
use simops::store::rules::apply_steps;
use simops::store::sql::count;
use simops::store::{KpiBasis, KpiSnapshot, KpiStore, SelectedVisits, VisitFilter};
use uuid::Uuid;

use crate::codec::{Json, Micros};
use crate::error::Work;
use crate::kpi_rows::{days, put_sums, sums};
use crate::kpi_uids::rebuild_segments;
use crate::kpi_write_buffer::WriteBuffer;
use crate::store::NO_LIMIT;
use crate::{SqliteStore, kpi_recount};

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

    async fn select_visits(&self, filter: &VisitFilter) -> Result<SelectedVisits> {
        let filter = filter.clone();
        self.on_reader_long(move |tx| kpi_recount::select_visits(tx, &filter)).await
    }

    async fn delete_visits(&self, filter: &VisitFilter, piece: &SelectedVisits) -> Result<u64> {
        let (filter, piece, buffer) = (filter.clone(), piece.clone(), self.kpi_buffer.clone());
        self.write_with_reserve(NO_LIMIT, move |tx| {
            // Only the writer thread locks it.
            let mut buffer = buffer.lock().unwrap_or_else(PoisonError::into_inner);
            let done = kpi_recount::delete_visits(tx, &mut buffer, &filter, &piece);
            if done.is_err() {
                buffer.clear();
            }
            done
        })
        .await
    }

    async fn kpi_position(&self) -> Result<i64> {
        self.on_reader_long(|tx| kpi_recount::position(tx)).await
    }

    async fn kpi_log(&self, after: i64, until: i64, limit: usize) -> Result<Vec<LoggedVisit>> {
        self.on_reader_long(move |tx| kpi_recount::log(tx, after, until, count(limit))).await
    }

    async fn kpi_basis(&self) -> Result<KpiBasis> {
        self.on_reader_long(|tx| kpi_recount::basis(tx)).await
    }

    async fn compare_steps(&self, counted: Arc<CountedSteps>) -> Result<(i64, Vec<WrongSteps>)> {
        self.on_reader_long(move |tx| kpi_recount::compare(tx, &counted)).await
    }

    async fn visitor_steps(&self, keys: Vec<(Uuid, Date)>) -> Result<VisitorSteps> {
        self.on_reader_long(move |tx| kpi_recount::visitor_steps(tx, &keys)).await
    }

    async fn kpi_snapshot(&self, first: Date, last: Date, after: i64) -> Result<KpiSnapshot> {
        self.on_reader_long(move |tx| kpi_recount::snapshot(tx, first, last, after)).await
    }

    async fn correct_steps(
        &self,
        revision: i64,
        counted: Arc<Vec<((Uuid, Date), Steps)>>,
        until: i64,
    ) -> Result<Option<i64>> {
        self.on_writer_long(move |tx| kpi_recount::correct_steps(tx, revision, &counted, until))
            .await
    }

    async fn correct_sums(&self, revision: i64, changes: Arc<Days>) -> Result<Option<i64>> {
        self.on_writer_long(move |tx| kpi_recount::correct_sums(tx, revision, &changes)).await
    }

    async fn rebuild_uids(&self, progress: Progress<'_>) -> Result<()> {
        rebuild_segments(self, progress).await
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
        apply_steps(
            day,
            event.kind.step(),
            |day| buffer.steps(connection, event.visitor, day),
            |day, change| change(changes.entry(day).or_default()),
        )?;
        buffer.add_steps(event.visitor, day, event.kind.step());
        recorded += 1;
    }
    for (day, change) in changes {
        put_sums(connection, day, &sums(connection, day)?.plus(&change))?;
    }
    buffer.merge_if_full(connection)?;
    Ok(recorded)
}
