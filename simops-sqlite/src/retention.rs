//! Prunes old rows. Sums of the pruned rows are kept.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use async_trait::async_trait;
use jiff::civil::Date;
use rusqlite::{Connection, params};
use simops::Result;
use simops::clock::day_of;
use simops::store::sql::{USAGE_COLUMNS, count, log_table, log_time, usage_row};
use simops::store::{LogTable, PruneCutoff, RetentionStore};
use simops::usage::CallTotals;
use simops::usage::{DayTotals, UsageRow};

use crate::SqliteStore;
use crate::codec::{Cells, Micros, day_number};
use crate::error::Work;
use crate::kpi_write_buffer::WriteBuffer;
use crate::usage_rows::all_pruned_calls;

#[async_trait]
impl RetentionStore for SqliteStore {
    async fn count_prunable(&self, log: LogTable, old: &PruneCutoff) -> Result<u64> {
        let old = old.clone();
        self.read(move |connection| {
            let (table, condition) = (log_table(log), condition(log));
            let sql = format!("SELECT count(*) FROM {table} WHERE {condition}");
            let mut statement = connection.prepare(&sql)?;
            Ok(statement
                .query_row(params![Micros(old.before), old.except_run], |row| row.get(0))?)
        })
        .await
    }

    async fn prune(&self, log: LogTable, old: &PruneCutoff, limit: usize) -> Result<u64> {
        let wanted = old.clone();
        // On a reader: visitors' events have no index by time, so the search takes long.
        let ids = self.read(move |connection| old_ids(connection, log, &wanted, limit)).await?;
        let Some(last) = ids.iter().copied().max() else { return Ok(0) };
        let buffer = self.kpi_buffer.clone();
        self.write(move |tx| match log {
            LogTable::Events => delete_events(tx, &ids),
            LogTable::Ledger => delete_calls(tx, &ids),
            LogTable::Visits => {
                let mut buffer = buffer.lock().unwrap_or_else(PoisonError::into_inner);
                let deleted = delete_visits(tx, &mut buffer, &ids, last);
                if deleted.is_err() {
                    buffer.clear();
                }
                deleted
            }
        })
        .await
    }
}

/// Whether a row may be pruned, by a time ?1 and a run ?2 that is kept.
fn condition(log: LogTable) -> String {
    let (table, time) = (log_table(log), log_time(log));
    let run = match log {
        LogTable::Events | LogTable::Ledger => "run_id IS NOT ?2",
        LogTable::Visits => "TRUE",
    };
    // SQLite would assign the greatest rowid again if its row was deleted.
    let newest = format!("rowid < (SELECT max(rowid) FROM {table})");
    format!("{time} < ?1 AND (?2 IS NULL OR {run}) AND {newest}")
}

fn old_ids(
    connection: &Connection,
    log: LogTable,
    old: &PruneCutoff,
    limit: usize,
) -> Work<Vec<i64>> {
    let order = match log {
        LogTable::Events | LogTable::Ledger => "created_at",
        LogTable::Visits => "rowid",
    };
    let (table, condition) = (log_table(log), condition(log));
    let mut statement = connection.prepare_cached(&format!(
        "SELECT rowid FROM {table} WHERE {condition} ORDER BY {order} LIMIT ?3"
    ))?;
    let values = params![Micros(old.before), old.except_run, count(limit)];
    let ids = statement.query_map(values, |row| row.get(0))?;
    Ok(ids.collect::<std::result::Result<_, _>>()?)
}

fn delete_events(connection: &Connection, ids: &[i64]) -> Work<u64> {
    let mut delete = connection.prepare_cached("DELETE FROM events WHERE id = ?1")?;
    let mut deleted = 0;
    for id in ids {
        deleted += delete.execute([id])? as u64;
    }
    Ok(deleted)
}

fn delete_calls(connection: &Connection, ids: &[i64]) -> Work<u64> {
    let mut delete = connection
        .prepare_cached(&format!("DELETE FROM usage WHERE rowid = ?1 RETURNING {USAGE_COLUMNS}"))?;
    let mut deleted = 0;
    let mut sums = BTreeMap::<(Date, String), (DayTotals, CallTotals)>::new();
    for id in ids {
        for call in delete.query_map([id], |row| usage_row(Cells(row)))? {
            let call: UsageRow = call?;
            let sum = sums.entry((call.day, call.run_id.clone().unwrap_or_default())).or_default();
            *sum = (sum.0 + DayTotals::of(&call), sum.1 + CallTotals::of(&call));
            deleted += 1;
        }
    }
    for kept in all_pruned_calls(connection)? {
        if let Some(sum) = sums.get_mut(&(kept.day, kept.run_id.unwrap_or_default())) {
            *sum = (sum.0 + kept.of_day, sum.1 + kept.of_run);
        }
    }
    let mut put = connection.prepare_cached(
        "INSERT OR REPLACE INTO usage_pruned (day, run_id, calls_total, calls_openrouter_free, \
             calls_groq, calls_gemini, calls_unpriced, cost, success_calls, fallback_calls, \
             total_tokens) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?;
    for ((day, run_id), (of_day, of_run)) in sums {
        put.execute(params![
            day.to_string(),
            run_id,
            of_day.calls_total,
            of_day.calls_openrouter_free,
            of_day.calls_groq,
            of_day.calls_gemini,
            of_day.calls_unpriced,
            of_day.cost.0,
            of_run.success_calls,
            of_run.fallback_calls,
            of_run.total_tokens,
        ])?;
    }
    Ok(deleted)
}

fn delete_visits(
    connection: &Connection,
    buffer: &mut WriteBuffer,
    ids: &[i64],
    last: i64,
) -> Work<u64> {
    // Steps of events that are not merged yet could not be recounted.
    buffer.catch_up(connection)?;
    buffer.merge_up_to(connection, last)?;
    let mut delete = connection
        .prepare_cached("DELETE FROM kpi_events WHERE id = ?1 RETURNING kind, occurred_at")?;
    let mut counts = BTreeMap::<(Date, usize), u64>::new();
    for id in ids {
        let rows = delete.query_map([id], |row| Ok((row.get(0)?, row.get::<_, Micros>(1)?.0)))?;
        for row in rows {
            let (kind, at) = row?;
            *counts.entry((day_of(at), kind)).or_default() += 1;
        }
    }
    let mut put = connection.prepare_cached(
        "INSERT INTO kpi_pruned (day, kind, events) VALUES (?1, ?2, ?3) \
         ON CONFLICT DO UPDATE SET events = events + excluded.events",
    )?;
    for ((day, kind), events) in &counts {
        put.execute(params![day_number(*day), kind, events])?;
    }
    Ok(counts.into_values().sum())
}
