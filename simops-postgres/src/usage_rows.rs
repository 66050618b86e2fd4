//! Rows of the usage ledger, and of the sums per run and of pruned calls.

use std::collections::BTreeMap;

use jiff::civil::Date;
use simops::store::sql::{
    PRUNED_CALLS_COLUMNS, PrunedCalls, USAGE_COLUMNS, call_totals, pruned_calls, usage_row,
};
use simops::usage::CallTotals;
use simops::usage::UsageRow;
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use crate::codec::{Cells, Day, Micros};
use crate::error::Work;
use crate::link::Link;

/// The stored rows of `ids`.
pub(crate) async fn of_ids(connection: &mut Link, ids: &[Uuid]) -> Work<Vec<UsageRow>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!("SELECT {USAGE_COLUMNS} FROM usage WHERE id = ANY($1)");
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(ids).fetch_all(connection).await?;
    Ok(rows.iter().map(Cells).map(usage_row).collect::<sqlx::Result<_>>()?)
}

/// The rows of `ids` that were recorded on `day` or later. Reads only the partitions of these days.
pub(crate) async fn of_ids_since(
    connection: &mut Link,
    ids: &[Uuid],
    day: Date,
) -> Work<Vec<UsageRow>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT {USAGE_COLUMNS} FROM usage \
         WHERE id = ANY($1) AND created_at >= $2::date::timestamp AT TIME ZONE 'UTC'"
    );
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(ids).bind(Day::at_least(day));
    let rows = rows.fetch_all(connection).await?;
    Ok(rows.iter().map(Cells).map(usage_row).collect::<sqlx::Result<_>>()?)
}

/// Inserts rows in this order.
pub(crate) async fn insert(connection: &mut Link, new: &[UsageRow]) -> Work<()> {
    let sql = format!(
        "INSERT INTO usage ({USAGE_COLUMNS}) SELECT {USAGE_COLUMNS} FROM {GIVEN} WITH ORDINALITY \
         AS new ({USAGE_COLUMNS}, place) ORDER BY new.place"
    );
    write(connection, sql, new).await
}

/// Overwrites stored rows, which keep their place in listings.
pub(crate) async fn replace(connection: &mut Link, new: &[UsageRow]) -> Work<()> {
    let sql = format!(
        "UPDATE usage SET day = new.day, run_id = new.run_id, agent_id = new.agent_id, checkpoint = new.checkpoint, \
             provider = new.provider, model_requested = new.model_requested, \
             model_resolved = new.model_resolved, input_tokens = new.input_tokens, \
             cached_input_tokens = new.cached_input_tokens, output_tokens = new.output_tokens, \
             reasoning_tokens = new.reasoning_tokens, cost = new.cost, priced = new.priced, \
             success = new.success, fallback_used = new.fallback_used, \
             latency_ms = new.latency_ms, error_type = new.error_type, \
             created_at = new.created_at \
         FROM {GIVEN} AS new ({USAGE_COLUMNS}) WHERE usage.id = new.id"
    );
    write(connection, sql, new).await
}

/// Rows as parameters: an array for each of the [`USAGE_COLUMNS`].
const GIVEN: &str = "unnest($1::uuid[], $2::date[], $3::text[], $4::bigint[], $5::bigint[], \
     $6::text[], $7::text[], $8::text[], $9::bigint[], $10::bigint[], $11::bigint[], \
     $12::bigint[], $13::bigint[], $14::bool[], $15::bool[], $16::bool[], $17::bigint[], \
     $18::text[], $19::timestamptz[])";

async fn write(connection: &mut Link, sql: String, new: &[UsageRow]) -> Work<()> {
    if new.is_empty() {
        return Ok(());
    }
    sqlx::query(AssertSqlSafe(sql))
        .bind(column(new, |row| row.id))
        .bind(column(new, |row| Day(row.day)))
        .bind(new.iter().map(|row| row.run_id.as_deref()).collect::<Vec<_>>())
        .bind(column(new, |row| row.agent_id))
        .bind(column(new, |row| row.checkpoint))
        .bind(new.iter().map(|row| row.provider.as_str()).collect::<Vec<_>>())
        .bind(new.iter().map(|row| row.model_requested.as_str()).collect::<Vec<_>>())
        .bind(new.iter().map(|row| row.model_resolved.as_deref()).collect::<Vec<_>>())
        .bind(column(new, |row| row.input_tokens))
        .bind(column(new, |row| row.cached_input_tokens))
        .bind(column(new, |row| row.output_tokens))
        .bind(column(new, |row| row.reasoning_tokens))
        .bind(column(new, |row| row.cost.0))
        .bind(column(new, |row| row.priced))
        .bind(column(new, |row| row.success))
        .bind(column(new, |row| row.fallback_used))
        .bind(column(new, |row| row.latency_ms))
        .bind(new.iter().map(|row| row.error_type.as_deref()).collect::<Vec<_>>())
        .bind(column(new, |row| Micros(row.created_at)))
        .execute(connection)
        .await?;
    Ok(())
}

fn column<T>(rows: &[UsageRow], of: impl Fn(&UsageRow) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}

/// The sums of runs. Runs without sums are missing.
pub(crate) async fn run_totals(
    connection: &mut Link,
    runs: &[String],
) -> Work<BTreeMap<String, CallTotals>> {
    if runs.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows = sqlx::query(
        "SELECT calls, success_calls, fallback_calls, total_tokens, cost, run_id FROM usage_runs \
         WHERE run_id = ANY($1)",
    )
    .bind(runs)
    .fetch_all(connection)
    .await?;
    let sums = rows.iter().map(|row| Ok((row.try_get("run_id")?, call_totals(Cells(row), 0)?)));
    Ok(sums.collect::<sqlx::Result<_>>()?)
}

/// Replaces the sums of runs.
pub(crate) async fn put_run_totals<'r>(
    connection: &mut Link,
    sums: impl IntoIterator<Item = (&'r str, CallTotals)>,
) -> Work<()> {
    let (runs, sums): (Vec<_>, Vec<_>) = sums.into_iter().unzip();
    if runs.is_empty() {
        return Ok(());
    }
    let column = |of: fn(&CallTotals) -> i64| sums.iter().map(of).collect::<Vec<_>>();
    sqlx::query(
        "INSERT INTO usage_runs (run_id, calls, success_calls, fallback_calls, total_tokens, cost) \
         SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], \
             $6::bigint[]) \
         ON CONFLICT (run_id) DO UPDATE SET calls = excluded.calls, \
             success_calls = excluded.success_calls, fallback_calls = excluded.fallback_calls, \
             total_tokens = excluded.total_tokens, cost = excluded.cost",
    )
    .bind(runs)
    .bind(column(|sum| sum.calls))
    .bind(column(|sum| sum.success_calls))
    .bind(column(|sum| sum.fallback_calls))
    .bind(column(|sum| sum.total_tokens))
    .bind(column(|sum| sum.cost.0))
    .execute(connection)
    .await?;
    Ok(())
}

/// SQL sums of calls, which stop at `i64::MAX`: how they ended, and their tokens.
pub(crate) const CALLS_BY_END: &str = "count(*) FILTER (WHERE success), \
     count(*) FILTER (WHERE fallback_used), \
     least(coalesce(sum(least(input_tokens::numeric + output_tokens, 9223372036854775807)), 0), \
         9223372036854775807)::bigint";

/// SQL sums of calls: their number, [`CALLS_BY_END`], and their cost.
pub(crate) fn call_sums() -> String {
    format!("count(*), {CALLS_BY_END}, least(coalesce(sum(cost), 0), 9223372036854775807)::bigint")
}

/// Sums of a day's calls as SQL, as [`simops::usage::DayTotals::of`] counts them.
pub(crate) const DAY_SUMS: &str = "count(*), count(*) FILTER (WHERE model_requested LIKE '%:free'), \
     count(*) FILTER (WHERE provider = 'groq'), count(*) FILTER (WHERE provider = 'gemini'), \
     count(*) FILTER (WHERE NOT priced), least(sum(cost), 9223372036854775807)::bigint";

/// Sums of all pruned calls.
pub(crate) async fn all_pruned_calls(connection: &mut Link) -> Work<Vec<PrunedCalls>> {
    let sql = format!("SELECT {PRUNED_CALLS_COLUMNS} FROM usage_pruned");
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(connection).await?;
    Ok(rows.iter().map(Cells).map(pruned_calls).collect::<sqlx::Result<_>>()?)
}
