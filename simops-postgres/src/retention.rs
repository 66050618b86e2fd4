//! Prunes old rows. Sums of the pruned rows are kept.

use std::sync::Arc;

use async_trait::async_trait;
use simops::Result;
use simops::store::sql::{
    SqlTx, Statement, USAGE_COLUMNS, all_budgets, count, lock_counter, log_table, log_time,
};
use simops::store::{LogTable, PruneCutoff, RetentionStore};
use simops::usage::{Amounts, BudgetUse, Budgets, CallFacts, UsageRow};
use sqlx::AssertSqlSafe;

use crate::PostgresStore;
use crate::codec::{Micros, all, records};
use crate::connection::TxMode;
use crate::error::Work;
use crate::ledger_rows::{CALLS_BY_END, DAY_SUMS};
use crate::link::Link;
use crate::{kpi_rows, ledger_rows};

#[async_trait]
impl RetentionStore for PostgresStore {
    async fn count_prunable(&self, log: LogTable, old: &PruneCutoff) -> Result<u64> {
        self.base
            .run(TxMode::ReadLong, |mut connection| async move {
                let (table, condition) = (log_table(log), condition(log));
                let sql = format!("SELECT count(*) FROM {table} WHERE {condition}");
                let count = Statement::new(sql).bind(old.before).bind(&old.except_run);
                let count: i64 = connection.fetch_one(&count).await?;
                Ok((connection, count.cast_unsigned()))
            })
            .await
    }

    async fn prune(&self, log: LogTable, old: &PruneCutoff, limit: usize) -> Result<u64> {
        // Searched first, without locks: visitors' events have no index by time.
        let places = self.base.run(TxMode::ReadLong, |mut connection| async move {
            let places: Vec<i64> = connection.fetch_all(&old_places(log, old, limit)).await?;
            Ok((connection, places))
        });
        let places = &places.await?;
        if places.is_empty() {
            return Ok(0);
        }
        self.base
            .run(TxMode::WriteLong, |mut tx| async move {
                let deleted = match log {
                    LogTable::Events => delete_events(&mut tx, places, old).await?,
                    LogTable::Ledger => {
                        let epoch = lock_counter(&mut tx).await?;
                        if epoch.budgets > 0 {
                            keep_uses(&mut tx, places, old).await?;
                        }
                        delete_calls(&mut tx, places, old).await?
                    }
                    LogTable::Visits => {
                        kpi_rows::lock(&mut tx).await?;
                        delete_visits(&mut tx, places, old).await?
                    }
                };
                Ok((tx, deleted.cast_unsigned()))
            })
            .await
    }
}

/// The column that numbers rows in the order of insertion.
fn place(log: LogTable) -> &'static str {
    match log {
        LogTable::Events | LogTable::Visits => "id",
        LogTable::Ledger => "place",
    }
}

/// Whether a row may be pruned, by a time $1 and a run $2 that is kept.
fn condition(log: LogTable) -> String {
    let (table, place, time) = (log_table(log), place(log), log_time(log));
    let run = match log {
        LogTable::Events | LogTable::Ledger => "run_id IS DISTINCT FROM $2",
        LogTable::Visits => "TRUE",
    };
    format!(
        "{time} < $1 AND ($2 IS NULL OR {run}) AND {place} < (SELECT max({place}) FROM {table})"
    )
}

fn old_places(log: LogTable, old: &PruneCutoff, limit: usize) -> Statement {
    let (table, place, condition) = (log_table(log), place(log), condition(log));
    let order = match log {
        LogTable::Events | LogTable::Ledger => "created_at",
        LogTable::Visits => "id",
    };
    let sql = format!("SELECT {place} FROM {table} WHERE {condition} ORDER BY {order} LIMIT $3");
    Statement::new(sql).bind(old.before).bind(&old.except_run).bind(count(limit))
}

async fn delete_events(connection: &mut Link, places: &[i64], old: &PruneCutoff) -> Work<i64> {
    let deleted = sqlx::query("DELETE FROM events WHERE id = ANY($1) AND created_at < $2")
        .bind(places)
        .bind(Micros(old.before))
        .execute(connection)
        .await?;
    Ok(deleted.rows_affected().cast_signed())
}

async fn delete_calls(connection: &mut Link, places: &[i64], old: &PruneCutoff) -> Work<i64> {
    let sql = format!(
        "WITH gone AS ( \
             DELETE FROM usage WHERE place = ANY($1) AND created_at < $2 \
             RETURNING {USAGE_COLUMNS} \
         ), sums AS ( \
             INSERT INTO usage_pruned AS kept (calls_total, calls_openrouter_free, calls_groq, \
                 calls_gemini, calls_unpriced, cost, success_calls, fallback_calls, total_tokens, \
                 day, run_id) \
             SELECT {DAY_SUMS}, {CALLS_BY_END}, day, coalesce(run_id, '') \
             FROM gone WHERE sent GROUP BY day, run_id \
             ON CONFLICT (day, run_id) DO UPDATE SET \
                 calls_total = kept.calls_total + excluded.calls_total, \
                 calls_openrouter_free = \
                     kept.calls_openrouter_free + excluded.calls_openrouter_free, \
                 calls_groq = kept.calls_groq + excluded.calls_groq, \
                 calls_gemini = kept.calls_gemini + excluded.calls_gemini, \
                 calls_unpriced = kept.calls_unpriced + excluded.calls_unpriced, \
                 cost = least(kept.cost::numeric + excluded.cost, 9223372036854775807)::bigint, \
                 success_calls = kept.success_calls + excluded.success_calls, \
                 fallback_calls = kept.fallback_calls + excluded.fallback_calls, \
                 total_tokens = least(kept.total_tokens::numeric + excluded.total_tokens, \
                     9223372036854775807)::bigint \
         ) SELECT count(*) FROM gone"
    );
    let (deleted,): (i64,) = sqlx::query_as(AssertSqlSafe(sql))
        .bind(places)
        .bind(Micros(old.before))
        .fetch_one(connection)
        .await?;
    Ok(deleted)
}

/// Keeps what calls have used of budgets, if their deletion would lose it.
async fn keep_uses(connection: &mut Link, places: &[i64], old: &PruneCutoff) -> Work<()> {
    let list = Arc::new(all(&mut *connection, &all_budgets()).await?);
    let budgets = Budgets { list, ..Budgets::default() };
    let sql =
        format!("SELECT {USAGE_COLUMNS} FROM usage WHERE place = ANY($1) AND created_at < $2");
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(places).bind(Micros(old.before));
    let rows: Vec<UsageRow> = records(&rows.fetch_all(&mut *connection).await?)?;
    let calls = rows.iter().map(|row| (CallFacts::of_row(row), Amounts::of_row(row)));
    let deleted = budgets.amounts_of_deleted(calls);
    let keys = deleted.keys().cloned().collect();
    let mut uses = Vec::new();
    for (key, kept) in ledger_rows::budget_uses(&mut *connection, &keys).await? {
        let amount = deleted.get(&key).copied().unwrap_or_default();
        uses.push((key, BudgetUse { pruned: kept.pruned.saturating_add(amount), ..kept }));
    }
    ledger_rows::put_budget_uses(connection, &uses).await
}

async fn delete_visits(connection: &mut Link, places: &[i64], old: &PruneCutoff) -> Work<i64> {
    let (deleted,): (i64,) = sqlx::query_as(
        "WITH gone AS ( \
             DELETE FROM kpi_events WHERE id = ANY($1) AND occurred_at < $2 \
             RETURNING (occurred_at AT TIME ZONE 'UTC')::date AS day, kind \
         ), sums AS ( \
             INSERT INTO kpi_pruned AS kept (day, kind, events) \
             SELECT day, kind, count(*) FROM gone GROUP BY day, kind \
             ON CONFLICT (day, kind) DO UPDATE SET events = kept.events + excluded.events \
         ) SELECT count(*) FROM gone",
    )
    .bind(places)
    .bind(Micros(old.before))
    .fetch_one(connection)
    .await?;
    Ok(deleted)
}
