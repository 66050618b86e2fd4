//! Prunes old rows. Sums of the pruned rows are kept.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::PoisonError;

use async_trait::async_trait;
use jiff::civil::Date;
use rusqlite::{Connection, params};
use simops::Result;
use simops::clock::day_of;
use simops::store::sql::{
    PrunedCalls, SqlStore, Statement, TOTALS_COLUMNS, USAGE_COLUMNS, all_budgets, budget_use,
    count, log_table, log_time, pruned_calls, put_budget_use, upsert,
};
use simops::store::{LogTable, PruneCutoff, RetentionStore};
use simops::usage::{Amounts, BudgetUse, Budgets, CallFacts, CallTotals, DayTotals, UsageRow};

use crate::SqliteStore;
use crate::codec::{Cells, Micros, all, day_number, execute, first};
use crate::error::Work;
use crate::kpi_write_buffer::WriteBuffer;

#[async_trait]
impl RetentionStore for SqliteStore {
    async fn count_prunable(&self, log: LogTable, old: &PruneCutoff) -> Result<u64> {
        let (table, condition) = (log_table(log), condition(log));
        let sql = format!("SELECT count(*) FROM {table} WHERE {condition}");
        let count = Statement::new(sql).bind(old.before).bind(&old.except_run);
        Ok(self.fetch_one::<i64>(count).await?.cast_unsigned())
    }

    async fn prune(&self, log: LogTable, old: &PruneCutoff, limit: usize) -> Result<u64> {
        // On a reader: visitors' events have no index by time, so the search takes long.
        let ids: Vec<i64> = self.fetch_all(old_ids(log, old, limit)).await?;
        let Some(last) = ids.iter().copied().max() else { return Ok(0) };
        let buffer = self.kpi_buffer.clone();
        self.write_with_reserve(self.call_timeout, move |tx| match log {
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

/// Whether a row may be pruned, by a time $1 and a run $2 that is kept.
fn condition(log: LogTable) -> String {
    let (table, time) = (log_table(log), log_time(log));
    let run = match log {
        LogTable::Events | LogTable::Ledger => "run_id IS DISTINCT FROM $2",
        LogTable::Visits => "TRUE",
    };
    // SQLite would assign the greatest rowid again if its row was deleted.
    let newest = format!("rowid < (SELECT max(rowid) FROM {table})");
    format!("{time} < $1 AND ($2 IS NULL OR {run}) AND {newest}")
}

fn old_ids(log: LogTable, old: &PruneCutoff, limit: usize) -> Statement {
    let order = match log {
        LogTable::Events | LogTable::Ledger => "created_at",
        LogTable::Visits => "rowid",
    };
    let (table, condition) = (log_table(log), condition(log));
    let sql = format!("SELECT rowid FROM {table} WHERE {condition} ORDER BY {order} LIMIT $3");
    Statement::new(sql).bind(old.before).bind(&old.except_run).bind(count(limit))
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
    let budgets = all_budgets_of(connection)?;
    let mut of_budgets = BTreeMap::<_, i64>::new();
    let mut sums = BTreeMap::<(Date, String), (DayTotals, CallTotals)>::new();
    for id in ids {
        for call in delete.query_map([id], |row| Cells::record(row))? {
            let call: UsageRow = call?;
            let sum = sums.entry((call.day, call.run_id.clone().unwrap_or_default())).or_default();
            *sum = (sum.0 + DayTotals::of(&call), sum.1 + CallTotals::of(&call));
            deleted += 1;
            let used = (CallFacts::of_row(&call), Amounts::of_row(&call));
            for (key, amount) in budgets.amounts_of_deleted([used]) {
                *of_budgets.entry(key).or_default() += amount;
            }
        }
    }
    for (key, amount) in of_budgets {
        if let Some(kept) = first::<BudgetUse>(connection, &budget_use(&key))? {
            let pruned = kept.pruned.saturating_add(amount);
            execute(connection, &put_budget_use(&key, &BudgetUse { pruned, ..kept }))?;
        }
    }
    for kept in all::<PrunedCalls>(connection, &pruned_calls())? {
        if let Some(sum) = sums.get_mut(&(kept.day, kept.run_id.unwrap_or_default())) {
            *sum = (sum.0 + kept.of_day, sum.1 + kept.of_run);
        }
    }
    let columns =
        format!("day, run_id, {TOTALS_COLUMNS}, success_calls, fallback_calls, total_tokens");
    for ((day, run_id), (of_day, of_run)) in sums {
        let put = Statement::new(upsert("usage_pruned", "day, run_id", &columns))
            .bind(day)
            .bind(&run_id)
            .bind_all(of_day.to_array())
            .bind(of_run.success_calls)
            .bind(of_run.fallback_calls)
            .bind(of_run.total_tokens);
        execute(connection, &put)?;
    }
    Ok(deleted)
}

fn all_budgets_of(connection: &Connection) -> Work<Budgets> {
    let list = Arc::new(all(connection, &all_budgets())?);
    Ok(Budgets { list, ..Budgets::default() })
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
