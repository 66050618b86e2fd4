//! Old rows deleted, and what was counted of them kept beside the logs.

use async_trait::async_trait;
use jiff::civil::Date;
use simops::Result;
use simops::kpi::recount::Recounter;
use simops::store::{LogTable, PruneCutoff, RetentionStore};
use simops::usage::DayTotals;
use simops::usage::budget::CallTotals;
use sqlx::{AssertSqlSafe, Row};

use crate::PostgresStore;
use crate::codec::{Day, Micros, count};
use crate::days::totals;
use crate::error::Work;
use crate::kpi::of_bits;
use crate::kpi_recount::kind_of;
use crate::link::Link;
use crate::recount::DAY_SUMS;
use crate::usage::{CALLS_BY_END, call_totals};
use crate::{counter_epoch, kpi};

#[async_trait]
impl RetentionStore for PostgresStore {
    async fn count_prunable(&self, log: LogTable, old: &PruneCutoff) -> Result<u64> {
        self.base
            .read_long(|mut connection| async move {
                let (table, condition) = (table(log), condition(log));
                let sql = format!("SELECT count(*) FROM {table} WHERE {condition}");
                let (count,): (i64,) = sqlx::query_as(AssertSqlSafe(sql))
                    .bind(Micros(old.before))
                    .bind(&old.except_run)
                    .fetch_one(&mut *connection)
                    .await?;
                Ok((connection, count.cast_unsigned()))
            })
            .await
    }

    async fn prune(&self, log: LogTable, old: &PruneCutoff, limit: usize) -> Result<u64> {
        // Found first: visits have no index by time, and nobody shall wait for the search.
        let places = self.base.read_long(|mut connection| async move {
            let places = old_places(&mut connection, log, old, limit).await?;
            Ok((connection, places))
        });
        let places = &places.await?;
        if places.is_empty() {
            return Ok(0);
        }
        self.base
            .write_long(|mut tx| async move {
                let deleted = match log {
                    LogTable::Events => delete_events(&mut tx, places, old).await?,
                    LogTable::Ledger => {
                        counter_epoch::lock(&mut tx).await?;
                        delete_calls(&mut tx, places, old).await?
                    }
                    LogTable::Visits => {
                        kpi::lock(&mut tx).await?;
                        delete_visits(&mut tx, places, old).await?
                    }
                };
                Ok((tx, deleted.cast_unsigned()))
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

/// The column that numbers rows as they come.
fn place(log: LogTable) -> &'static str {
    match log {
        LogTable::Events | LogTable::Visits => "id",
        LogTable::Ledger => "place",
    }
}

/// The column of the time by which rows are old.
fn time(log: LogTable) -> &'static str {
    match log {
        LogTable::Events | LogTable::Ledger => "created_at",
        LogTable::Visits => "occurred_at",
    }
}

/// Tells old rows, by a time $1 and a run $2.
fn condition(log: LogTable) -> String {
    let (table, place, time) = (table(log), place(log), time(log));
    let run = match log {
        LogTable::Events | LogTable::Ledger => "run_id IS DISTINCT FROM $2",
        LogTable::Visits => "TRUE",
    };
    format!(
        "{time} < $1 AND ($2::text IS NULL OR {run}) AND {place} < (SELECT max({place}) FROM {table})"
    )
}

async fn old_places(
    connection: &mut Link,
    log: LogTable,
    old: &PruneCutoff,
    limit: usize,
) -> Work<Vec<i64>> {
    let (table, place, condition) = (table(log), place(log), condition(log));
    let order = match log {
        LogTable::Events | LogTable::Ledger => "created_at",
        LogTable::Visits => "id",
    };
    let sql = format!("SELECT {place} FROM {table} WHERE {condition} ORDER BY {order} LIMIT $3");
    let places: Vec<(i64,)> = sqlx::query_as(AssertSqlSafe(sql))
        .bind(Micros(old.before))
        .bind(&old.except_run)
        .bind(count(limit))
        .fetch_all(connection)
        .await?;
    Ok(places.into_iter().map(|(place,)| place).collect())
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
             DELETE FROM usage WHERE place = ANY($1) AND created_at < $2 RETURNING * \
         ), sums AS ( \
             INSERT INTO usage_pruned AS kept (calls_total, calls_openrouter_free, calls_groq, \
                 calls_gemini, calls_unpriced, cost, success_calls, fallback_calls, total_tokens, \
                 day, run_id) \
             SELECT {DAY_SUMS}, {CALLS_BY_END}, day, coalesce(run_id, '') \
             FROM gone GROUP BY day, run_id \
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

/// Deleted calls of a run on a day.
pub(crate) struct PrunedCalls {
    pub(crate) day: Date,
    pub(crate) run_id: Option<String>,
    pub(crate) of_day: DayTotals,
    pub(crate) of_run: CallTotals,
}

/// What was counted of deleted calls.
pub(crate) async fn pruned_calls(connection: &mut Link) -> Work<Vec<PrunedCalls>> {
    let rows = sqlx::query(
        "SELECT calls_total, calls_openrouter_free, calls_groq, calls_gemini, calls_unpriced, cost, \
             calls_total, success_calls, fallback_calls, total_tokens, cost, day, run_id \
         FROM usage_pruned",
    );
    let rows = rows.fetch_all(connection).await?;
    let calls = rows.iter().map(|row| {
        let run_id: String = row.try_get("run_id")?;
        Ok(PrunedCalls {
            day: row.try_get::<Day, _>("day")?.0,
            run_id: Some(run_id).filter(|run_id| !run_id.is_empty()),
            of_day: totals(row, 0)?,
            of_run: call_totals(row, 6)?,
        })
    });
    Ok(calls.collect::<sqlx::Result<_>>()?)
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

/// Counts what was kept of deleted visits: how many, and what each visitor did on their days.
pub(crate) async fn count_pruned_visits(
    connection: &mut Link,
    counted: &mut Recounter,
) -> Work<()> {
    let rows = sqlx::query("SELECT day, kind, events FROM kpi_pruned");
    for row in rows.fetch_all(&mut *connection).await? {
        let events: i64 = row.try_get(2)?;
        let day = row.try_get::<Day, _>(0)?.0;
        counted.count_pruned(kind_of(row.try_get(1)?)?, day, events.cast_unsigned());
    }
    let rows = sqlx::query(
        "SELECT visitor, day, steps FROM kpi_steps WHERE day IN (SELECT day FROM kpi_pruned)",
    );
    for row in rows.fetch_all(connection).await? {
        let day = row.try_get::<Day, _>(1)?.0;
        counted.add_known_steps(row.try_get(0)?, day, of_bits(row.try_get(2)?));
    }
    Ok(())
}
