//! The usage ledger.

use async_trait::async_trait;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use simops::Result;
use simops::event::EventWindow;
use simops::store::sql::{SqlRow, USAGE_COLUMNS, call_totals, one_more, page, usage_row};
use simops::store::{ActivityScope, FailureCounts, Page, UsageFilter, UsageStore};
use simops::usage::{
    Bucket, CallClass, CallTally, CallTotals, DayTotals, NanoUsd, Op, Recount, UsageCounter,
    UsageRow,
};
use sqlx::{AssertSqlSafe, Row};

use crate::codec::{Cells, Micros};
use crate::error::Work;
use crate::link::Link;
use crate::usage_rows::{call_sums, run_totals};
use crate::{PostgresStore, recount};

#[async_trait]
impl UsageStore for PostgresStore {
    async fn record_usage(&self, rows: &[UsageRow]) -> Result<()> {
        self.counting.call(Op::Settle(rows.to_vec())).await.map(drop)
    }

    async fn day_totals(&self, day: Date) -> Result<DayTotals> {
        Ok(self.day_use(day).await?.settled)
    }

    async fn llm_totals(&self, scope: &ActivityScope) -> Result<CallTotals> {
        self.base
            .query(|mut connection| async move {
                let totals = match scope {
                    ActivityScope::Run(run_id) => {
                        let of_run =
                            run_totals(&mut connection, std::slice::from_ref(run_id)).await?;
                        of_run.into_values().next().unwrap_or_default()
                    }
                    ActivityScope::Since(since) => totals_since(&mut connection, *since).await?,
                };
                Ok((connection, totals))
            })
            .await
    }

    async fn failure_window(&self, run_id: &str, since: Timestamp) -> Result<FailureCounts> {
        self.base
            .query(|mut connection| async move {
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
            .query(|mut connection| async move {
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
            .query(|mut connection| async move {
                let tallies = tally(&mut connection, run_id, window).await?;
                Ok((connection, tallies))
            })
            .await
    }

    async fn usage_rows(&self, filter: &UsageFilter, limit: usize) -> Result<Page<UsageRow>> {
        self.base
            .query(|mut connection| async move {
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

async fn rows(connection: &mut Link, filter: &UsageFilter, limit: usize) -> Work<Page<UsageRow>> {
    let sql = format!(
        "SELECT {USAGE_COLUMNS}, place FROM usage \
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
    let read = |row: Cells<'_>| Ok((row.int(19)?, usage_row(row)?));
    Ok(page(rows.iter().map(Cells).map(read).collect::<sqlx::Result<_>>()?, limit))
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

/// Counts like [`simops::usage::Series`], in the database.
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

async fn totals_since(connection: &mut Link, since: Timestamp) -> Work<CallTotals> {
    let sql = format!("SELECT {} FROM usage WHERE created_at >= $1", call_sums());
    let row = sqlx::query(AssertSqlSafe(sql)).bind(Micros(since)).fetch_one(connection).await?;
    Ok(call_totals(Cells(&row), 0)?)
}
