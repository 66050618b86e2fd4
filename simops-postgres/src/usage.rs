//! The usage ledger, and its sums per day and per run.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use simops::Result;
use simops::event::EventWindow;
use simops::store::{ActivityScope, FailureCounts, Page, UsageFilter, UsageStore};
use simops::usage::CallClass;
use simops::usage::CallTally;
use simops::usage::budget::{CallTotals, LlmTotals};
use simops::usage::recount::Recount;
use simops::usage::series::Bucket;
use simops::usage::{DayTotals, NanoUsd, Op, UsageCounter, UsageRow};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use crate::codec::{Day, Micros, one_more};
use crate::error::Work;
use crate::link::Link;
use crate::{PostgresStore, recount};

#[async_trait]
impl UsageStore for PostgresStore {
    async fn record_usage(&self, rows: &[UsageRow]) -> Result<()> {
        self.counting.call(Op::Settle(rows.to_vec())).await.map(drop)
    }

    async fn day_totals(&self, day: Date) -> Result<DayTotals> {
        Ok(self.day_use(day).await?.settled)
    }

    async fn llm_totals(&self, scope: &ActivityScope) -> Result<LlmTotals> {
        let totals = self.base.look(|mut connection| async move {
            let totals = match scope {
                ActivityScope::Run(run_id) => {
                    let of_run = run_totals(&mut connection, std::slice::from_ref(run_id)).await?;
                    of_run.into_values().next().unwrap_or_default()
                }
                ActivityScope::Since(since) => totals_since(&mut connection, *since).await?,
            };
            Ok((connection, totals))
        });
        Ok(totals.await?.shown())
    }

    async fn failure_window(&self, run_id: &str, since: Timestamp) -> Result<FailureCounts> {
        self.base
            .look(|mut connection| async move {
                let (failed, calls): (i64, i64) = sqlx::query_as(
                    "SELECT count(*) FILTER (WHERE NOT success), count(*) FROM usage \
                     WHERE run_id = $1 AND created_at > $2",
                )
                .bind(run_id)
                .bind(Micros(since))
                .fetch_one(&mut *connection)
                .await?;
                Ok((connection, FailureCounts { failed, calls }))
            })
            .await
    }

    async fn usage_series(
        &self,
        run_id: Option<&str>,
        since: Timestamp,
        step: SignedDuration,
    ) -> Result<Vec<Bucket>> {
        self.base
            .look(|mut connection| async move {
                let buckets = series(&mut connection, run_id, since, step).await?;
                Ok((connection, buckets))
            })
            .await
    }

    async fn tally_calls(
        &self,
        run_id: Option<&str>,
        window: EventWindow,
    ) -> Result<Vec<CallTally>> {
        self.base
            .look(|mut connection| async move {
                let tallies = tally(&mut connection, run_id, window).await?;
                Ok((connection, tallies))
            })
            .await
    }

    async fn usage_rows(&self, filter: &UsageFilter, limit: usize) -> Result<Page<UsageRow>> {
        self.base
            .look(|mut connection| async move {
                let page = rows(&mut connection, filter, limit).await?;
                Ok((connection, page))
            })
            .await
    }

    async fn recount(&self) -> Result<Recount> {
        self.base
            .read_long(|mut connection| async move {
                let found = recount::recount(&mut connection).await?;
                Ok((connection, found))
            })
            .await
    }

    async fn rebuild_usage(&self) -> Result<Recount> {
        self.base.write_long(recount::rebuild).await
    }
}

const COLUMNS: &str = "id, day, run_id, agent_id, checkpoint, provider, model_requested, \
     model_resolved, input_tokens, cached_input_tokens, output_tokens, reasoning_tokens, cost, \
     priced, success, fallback_used, latency_ms, error_type, created_at";

/// The stored rows of `ids`.
pub(crate) async fn of_ids(connection: &mut Link, ids: &[Uuid]) -> Work<Vec<UsageRow>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!("SELECT {COLUMNS} FROM usage WHERE id = ANY($1)");
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(ids).fetch_all(connection).await?;
    Ok(rows.iter().map(row).collect::<sqlx::Result<_>>()?)
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
        "SELECT {COLUMNS} FROM usage \
         WHERE id = ANY($1) AND created_at >= $2::date::timestamp AT TIME ZONE 'UTC'"
    );
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(ids).bind(Day::at_least(day));
    let rows = rows.fetch_all(connection).await?;
    Ok(rows.iter().map(row).collect::<sqlx::Result<_>>()?)
}

/// Inserts rows in this order.
pub(crate) async fn insert(connection: &mut Link, new: &[UsageRow]) -> Work<()> {
    let sql = format!(
        "INSERT INTO usage ({COLUMNS}) SELECT {COLUMNS} FROM {GIVEN} WITH ORDINALITY \
         AS new ({COLUMNS}, place) ORDER BY new.place"
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
         FROM {GIVEN} AS new ({COLUMNS}) WHERE usage.id = new.id"
    );
    write(connection, sql, new).await
}

/// Rows as parameters: an array for each of the [`COLUMNS`].
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

fn row(row: &PgRow) -> sqlx::Result<UsageRow> {
    Ok(UsageRow {
        id: row.try_get(0)?,
        day: row.try_get::<Day, _>(1)?.0,
        run_id: row.try_get(2)?,
        agent_id: row.try_get(3)?,
        checkpoint: row.try_get(4)?,
        provider: row.try_get(5)?,
        model_requested: row.try_get(6)?,
        model_resolved: row.try_get(7)?,
        input_tokens: row.try_get(8)?,
        cached_input_tokens: row.try_get(9)?,
        output_tokens: row.try_get(10)?,
        reasoning_tokens: row.try_get(11)?,
        cost: NanoUsd(row.try_get(12)?),
        priced: row.try_get(13)?,
        success: row.try_get(14)?,
        fallback_used: row.try_get(15)?,
        latency_ms: row.try_get(16)?,
        error_type: row.try_get(17)?,
        created_at: row.try_get::<Micros, _>(18)?.0,
    })
}

async fn rows(connection: &mut Link, filter: &UsageFilter, limit: usize) -> Work<Page<UsageRow>> {
    let sql = format!(
        "SELECT {COLUMNS}, place FROM usage \
         WHERE place > $1 AND ($2::timestamptz IS NULL OR created_at >= $2) \
             AND ($3::text IS NULL OR run_id = $3) \
         ORDER BY place LIMIT $4"
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(filter.after.unwrap_or(0))
        .bind(filter.since.map(Micros))
        .bind(&filter.run_id)
        .bind(one_more(limit))
        .fetch_all(connection)
        .await?;
    let placed = rows.iter().map(|found| Ok((found.try_get::<i64, _>("place")?, row(found)?)));
    let cut = Page::cut(placed.collect::<sqlx::Result<_>>()?, limit, |(place, _)| *place);
    Ok(Page { items: cut.items.into_iter().map(|(_, row)| row).collect(), next: cut.next })
}

async fn tally(
    connection: &mut Link,
    run_id: Option<&str>,
    window: EventWindow,
) -> Work<Vec<CallTally>> {
    let rows = sqlx::query(
        "SELECT provider, model_requested, success, error_type, count(*), \
             count(*) FILTER (WHERE fallback_used), count(*) FILTER (WHERE NOT priced), \
             least(sum(input_tokens), 9223372036854775807)::bigint, \
             least(sum(output_tokens), 9223372036854775807)::bigint, \
             least(sum(cost), 9223372036854775807)::bigint \
         FROM usage WHERE created_at > $1 AND created_at <= $2 \
             AND ($3::text IS NULL OR run_id = $3) GROUP BY 1, 2, 3, 4",
    )
    .bind(Micros(window.after))
    .bind(Micros(window.until))
    .bind(run_id)
    .fetch_all(connection)
    .await?;
    let tallies = rows.iter().map(|row| {
        Ok(CallTally {
            class: CallClass {
                provider: row.try_get(0)?,
                model: row.try_get(1)?,
                success: row.try_get(2)?,
                error_type: row.try_get(3)?,
            },
            calls: row.try_get(4)?,
            fallback_calls: row.try_get(5)?,
            unpriced_calls: row.try_get(6)?,
            input_tokens: row.try_get(7)?,
            output_tokens: row.try_get(8)?,
            cost: NanoUsd(row.try_get(9)?),
        })
    });
    let mut tallies = tallies.collect::<sqlx::Result<Vec<_>>>()?;
    tallies.sort_unstable();
    Ok(tallies)
}

/// Counts like [`simops::usage::series::Series`], in the database.
async fn series(
    connection: &mut Link,
    run_id: Option<&str>,
    since: Timestamp,
    step: SignedDuration,
) -> Work<Vec<Bucket>> {
    let rows = sqlx::query(
        "SELECT (floor(extract(epoch FROM created_at) / $3) * $3)::bigint, provider, count(*), \
             count(*) FILTER (WHERE NOT success), least(sum(cost), 9223372036854775807)::bigint \
         FROM usage WHERE created_at >= $1 AND ($2::text IS NULL OR run_id = $2) \
         GROUP BY 1, provider ORDER BY 1, provider COLLATE \"C\"",
    )
    .bind(Micros(since))
    .bind(run_id)
    .bind(step.as_secs().max(1))
    .fetch_all(connection)
    .await?;
    let buckets = rows.iter().map(|row| {
        let at = Timestamp::from_second(row.try_get(0)?);
        Ok(Bucket {
            at: at.map_err(|error| sqlx::Error::Decode(error.into()))?,
            provider: row.try_get(1)?,
            calls: row.try_get(2)?,
            failed: row.try_get(3)?,
            cost: NanoUsd(row.try_get(4)?),
        })
    });
    Ok(buckets.collect::<sqlx::Result<_>>()?)
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
    let sums = rows.iter().map(|row| Ok((row.try_get("run_id")?, call_totals(row, 0)?)));
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

async fn totals_since(connection: &mut Link, since: Timestamp) -> Work<CallTotals> {
    let sql = format!("SELECT {} FROM usage WHERE created_at >= $1", call_sums());
    let row = sqlx::query(AssertSqlSafe(sql)).bind(Micros(since)).fetch_one(connection).await?;
    Ok(call_totals(&row, 0)?)
}

/// Five sums in the order of the columns, starting at the column `first`.
pub(crate) fn call_totals(row: &PgRow, first: usize) -> sqlx::Result<CallTotals> {
    Ok(CallTotals {
        calls: row.try_get(first)?,
        success_calls: row.try_get(first + 1)?,
        fallback_calls: row.try_get(first + 2)?,
        total_tokens: row.try_get(first + 3)?,
        cost: NanoUsd(row.try_get(first + 4)?),
    })
}
