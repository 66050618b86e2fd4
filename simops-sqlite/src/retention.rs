//! Old rows deleted, and what was counted of them kept beside the logs.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use async_trait::async_trait;
use jiff::civil::Date;
use rusqlite::{Connection, params};
use simops::Result;
use simops::clock::day_of;
use simops::kpi::Kind;
use simops::kpi::recount::Recounter;
use simops::store::{LogTable, PruneCutoff, RetentionStore};
use simops::usage::budget::CallTotals;
use simops::usage::{DayTotals, UsageRow};

use crate::SqliteStore;
use crate::codec::{Micros, count, day_number, number_day};
use crate::days::{date, totals};
use crate::error::Work;
use crate::kpi_recount::kind_of;
use crate::kpi_tail::Tail;
use crate::usage::{COLUMNS, call_totals, row};

#[async_trait]
impl RetentionStore for SqliteStore {
    async fn count_prunable(&self, log: LogTable, old: &PruneCutoff) -> Result<u64> {
        let old = old.clone();
        self.read(move |connection| {
            let (table, condition) = (table(log), condition(log));
            let sql = format!("SELECT count(*) FROM {table} WHERE {condition}");
            let mut statement = connection.prepare(&sql)?;
            Ok(statement
                .query_row(params![Micros(old.before), old.except_run], |row| row.get(0))?)
        })
        .await
    }

    async fn prune(&self, log: LogTable, old: &PruneCutoff, limit: usize) -> Result<u64> {
        let wanted = old.clone();
        // Beside the writer: visits have no index by time, so looking for the last of them takes long.
        let ids = self.read(move |connection| old_ids(connection, log, &wanted, limit)).await?;
        let Some(last) = ids.iter().copied().max() else { return Ok(0) };
        let tail = self.kpi_tail.clone();
        self.write(move |tx| match log {
            LogTable::Events => delete_events(tx, &ids),
            LogTable::Ledger => delete_calls(tx, &ids),
            LogTable::Visits => {
                let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
                let deleted = delete_visits(tx, &mut tail, &ids, last);
                if deleted.is_err() {
                    tail.forget();
                }
                deleted
            }
        })
        .await
    }
}

fn table(log: LogTable) -> &'static str {
    match log {
        LogTable::Events => "events",
        LogTable::Ledger => "usage",
        LogTable::Visits => "kpi_events",
    }
}

/// Tells old rows, by a time ?1 and a run ?2.
fn condition(log: LogTable) -> String {
    let table = table(log);
    let (time, run) = match log {
        LogTable::Events | LogTable::Ledger => ("created_at", "run_id IS NOT ?2"),
        LogTable::Visits => ("occurred_at", "TRUE"),
    };
    // A rowid that was the greatest would be given again.
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
    let (table, condition) = (table(log), condition(log));
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
        .prepare_cached(&format!("DELETE FROM usage WHERE rowid = ?1 RETURNING {COLUMNS}"))?;
    let mut deleted = 0;
    let mut sums = BTreeMap::<(Date, String), (DayTotals, CallTotals)>::new();
    for id in ids {
        for call in delete.query_map([id], row)? {
            let call: UsageRow = call?;
            let sum = sums.entry((call.day, call.run_id.clone().unwrap_or_default())).or_default();
            *sum = (sum.0 + DayTotals::of(&call), sum.1 + CallTotals::of(&call));
            deleted += 1;
        }
    }
    for kept in pruned_calls(connection)? {
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

/// Deleted calls of a run on a day.
pub(crate) struct PrunedCalls {
    pub(crate) day: Date,
    pub(crate) run_id: Option<String>,
    pub(crate) of_day: DayTotals,
    pub(crate) of_run: CallTotals,
}

/// What was counted of deleted calls.
pub(crate) fn pruned_calls(connection: &Connection) -> Work<Vec<PrunedCalls>> {
    let mut statement = connection.prepare_cached(
        "SELECT calls_total, calls_openrouter_free, calls_groq, calls_gemini, calls_unpriced, cost, \
             calls_total, success_calls, fallback_calls, total_tokens, cost, day, run_id \
         FROM usage_pruned",
    )?;
    let rows = statement.query_map([], |row| {
        let run_id: String = row.get(12)?;
        Ok(PrunedCalls {
            day: date(row, 11)?,
            run_id: Some(run_id).filter(|run_id| !run_id.is_empty()),
            of_day: totals(row, 0)?,
            of_run: call_totals(row, 6)?,
        })
    })?;
    Ok(rows.collect::<std::result::Result<_, _>>()?)
}

fn delete_visits(connection: &Connection, tail: &mut Tail, ids: &[i64], last: i64) -> Work<u64> {
    // What has not been folded is known from the events alone.
    tail.catch_up(connection)?;
    tail.fold_up_to(connection, last)?;
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

/// Counts what was kept of deleted visits: how many, and what each visitor did on their days.
pub(crate) fn count_pruned_visits(connection: &Connection, counted: &mut Recounter) -> Work<()> {
    let mut statement = connection.prepare_cached("SELECT day, kind, events FROM kpi_pruned")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let kind: Kind = kind_of(row.get(1)?)?;
        counted.count_pruned(kind, number_day(row.get(0)?)?, row.get(2)?);
    }
    let mut statement = connection.prepare_cached(
        "SELECT visitor, day, steps FROM kpi_steps WHERE day IN (SELECT day FROM kpi_pruned)",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let visitor = uuid::Uuid::from_bytes(row.get(0)?);
        counted.add_known_steps(visitor, number_day(row.get(1)?)?, simops::kpi::Steps(row.get(2)?));
    }
    Ok(())
}
