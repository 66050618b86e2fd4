//! Rows of open leases and of the usage ledger, and of its sums per day and run.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use simops::store::sql::{
    DAY_USE_COLUMNS, LEASE_COLUMNS, RUN_TOTALS_COLUMNS, SqlRecord, USAGE_COLUMNS, USE_COLUMNS,
    USE_KEY,
};
use simops::usage::{BudgetUse, CallTotals, DayUse, Lease, UsageRow, UseKey};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::codec::{Day, Micros, records};
use crate::error::Work;
use crate::link::Link;

/// The open leases of `ids`.
pub(crate) async fn leases(connection: &mut Link, ids: &[Uuid]) -> Work<Vec<Lease>> {
    of_ids(connection, format!("SELECT {LEASE_COLUMNS} FROM leases WHERE id = ANY($1)"), ids).await
}

/// The recorded calls of `ids`.
pub(crate) async fn calls(connection: &mut Link, ids: &[Uuid]) -> Work<Vec<UsageRow>> {
    of_ids(connection, format!("SELECT {USAGE_COLUMNS} FROM usage WHERE id = ANY($1)"), ids).await
}

async fn of_ids<T: SqlRecord>(connection: &mut Link, sql: String, ids: &[Uuid]) -> Work<Vec<T>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(ids).fetch_all(connection).await?;
    Ok(records(&rows)?)
}

/// The calls of `ids` that were recorded on `day` or later. Reads only the partitions of these days.
pub(crate) async fn calls_since(
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
    Ok(records(&rows)?)
}

/// Deletes leases.
pub(crate) async fn delete_leases(connection: &mut Link, ids: &BTreeSet<Uuid>) -> Work<()> {
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query("DELETE FROM leases WHERE id = ANY($1)")
        .bind(ids.iter().copied().collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

/// Inserts leases.
pub(crate) async fn insert_leases(connection: &mut Link, new: &[Lease]) -> Work<()> {
    if new.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "INSERT INTO leases ({LEASE_COLUMNS}) \
         SELECT * FROM unnest($1::uuid[], $2::date[], $3::text[], $4::bigint[], $5::bigint[], \
             $6::text[], $7::text[], $8::bigint[], $9::bool[], $10::timestamptz[], \
             $11::timestamptz[], $12::bigint[], $13::bigint[])"
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(column(new, |lease| lease.id))
        .bind(column(new, |lease| Day(lease.day)))
        .bind(new.iter().map(|lease| lease.run_id.as_deref()).collect::<Vec<_>>())
        .bind(column(new, |lease| lease.agent_id))
        .bind(column(new, |lease| lease.checkpoint))
        .bind(new.iter().map(|lease| lease.provider.as_str()).collect::<Vec<_>>())
        .bind(new.iter().map(|lease| lease.model.as_str()).collect::<Vec<_>>())
        .bind(column(new, |lease| lease.upper_bound.0))
        .bind(column(new, |lease| lease.priced))
        .bind(column(new, |lease| Micros(lease.created_at)))
        .bind(column(new, |lease| Micros(lease.expires_at)))
        .bind(column(new, |lease| lease.input_tokens))
        .bind(column(new, |lease| lease.output_tokens))
        .execute(connection)
        .await?;
    Ok(())
}

/// Inserts calls in this order.
pub(crate) async fn insert_calls(connection: &mut Link, new: &[UsageRow]) -> Work<()> {
    let sql = format!(
        "INSERT INTO usage ({USAGE_COLUMNS}) SELECT {USAGE_COLUMNS} FROM {GIVEN} WITH ORDINALITY \
         AS new ({USAGE_COLUMNS}, place) ORDER BY new.place"
    );
    write_calls(connection, sql, new).await
}

/// Overwrites recorded calls, which keep their place in listings.
pub(crate) async fn replace_calls(connection: &mut Link, new: &[UsageRow]) -> Work<()> {
    let set: Vec<_> =
        USAGE_COLUMNS.split(", ").map(|column| format!("{column} = new.{column}")).collect();
    let sql = format!(
        "UPDATE usage SET {} FROM {GIVEN} AS new ({USAGE_COLUMNS}) WHERE usage.id = new.id",
        set.join(", ")
    );
    write_calls(connection, sql, new).await
}

/// Calls as parameters: an array for each of the [`USAGE_COLUMNS`].
const GIVEN: &str = "unnest($1::uuid[], $2::date[], $3::text[], $4::bigint[], $5::bigint[], \
     $6::text[], $7::text[], $8::text[], $9::bigint[], $10::bigint[], $11::bigint[], \
     $12::bigint[], $13::bigint[], $14::bool[], $15::bool[], $16::bool[], $17::bigint[], \
     $18::text[], $19::timestamptz[], $20::bool[], $21::bool[])";

async fn write_calls(connection: &mut Link, sql: String, new: &[UsageRow]) -> Work<()> {
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
        .bind(column(new, |row| row.sent))
        .bind(column(new, |row| row.over_reservation))
        .execute(connection)
        .await?;
    Ok(())
}

fn column<R, T>(rows: &[R], of: impl Fn(&R) -> T) -> Vec<T> {
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
    let sql = format!("SELECT run_id, {RUN_TOTALS_COLUMNS} FROM usage_runs WHERE run_id = ANY($1)");
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(runs).fetch_all(connection).await?;
    Ok(records(&rows)?)
}

/// The sums of days. Days without sums are missing.
pub(crate) async fn day_uses(
    connection: &mut Link,
    days: impl IntoIterator<Item = Date>,
) -> Work<BTreeMap<Date, DayUse>> {
    let sql = format!("SELECT day, {DAY_USE_COLUMNS} FROM usage_days WHERE day = ANY($1)");
    let days: Vec<_> = days.into_iter().map(Day).collect();
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(days).fetch_all(connection).await?;
    Ok(records(&rows)?)
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

/// What is used of budgets. Uses that are not stored are missing.
pub(crate) async fn budget_uses(
    connection: &mut Link,
    keys: &BTreeSet<UseKey>,
) -> Work<BTreeMap<UseKey, BudgetUse>> {
    if keys.is_empty() {
        return Ok(BTreeMap::new());
    }
    let sql = format!(
        "SELECT {USE_COLUMNS} FROM budget_use WHERE ({USE_KEY}) IN \
             (SELECT * FROM unnest($1::text[], $2::text[], $3::text[]))"
    );
    let column = |of: fn(&UseKey) -> &str| keys.iter().map(of).collect::<Vec<_>>();
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(column(|key| &key.budget))
        .bind(column(|key| &key.period))
        .bind(column(|key| &key.part))
        .fetch_all(connection)
        .await?;
    Ok(records(&rows)?)
}

/// Replaces what is used of budgets.
pub(crate) async fn put_budget_uses(
    connection: &mut Link,
    uses: &[(UseKey, BudgetUse)],
) -> Work<()> {
    if uses.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "INSERT INTO budget_use ({USE_COLUMNS}) SELECT * FROM unnest($1::text[], $2::text[], \
             $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[]) \
         ON CONFLICT ({USE_KEY}) DO UPDATE SET settled = excluded.settled, \
             reserved = excluded.reserved, pruned = excluded.pruned, version = excluded.version"
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(uses.iter().map(|(key, _)| key.budget.as_str()).collect::<Vec<_>>())
        .bind(uses.iter().map(|(key, _)| key.period.as_str()).collect::<Vec<_>>())
        .bind(uses.iter().map(|(key, _)| key.part.as_str()).collect::<Vec<_>>())
        .bind(column(uses, |(_, used)| used.settled))
        .bind(column(uses, |(_, used)| used.reserved))
        .bind(column(uses, |(_, used)| used.pruned))
        .bind(column(uses, |(_, used)| used.version.cast_signed()))
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

/// Sums of a day's calls that were sent as SQL, as [`simops::usage::DayTotals::of`] counts them.
pub(crate) const DAY_SUMS: &str = "count(*), count(*) FILTER (WHERE model_requested LIKE '%:free'), \
     count(*) FILTER (WHERE provider = 'groq'), count(*) FILTER (WHERE provider = 'gemini'), \
     count(*) FILTER (WHERE NOT priced), least(sum(cost), 9223372036854775807)::bigint";
