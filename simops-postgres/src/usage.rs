//! The usage ledger.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use simops::Result;
use simops::event::EventWindow;
use simops::store::sql::{
    CorrectUsage, CountCalls, FinishRecount, LATER_OF_CALLS, ReadLedgerBasis, SqlStore, Statement,
    USAGE_COLUMNS, failure_window, one_more, page, run_totals, run_totals_by_run,
};
use simops::store::{ActivityScope, FailureCounts, Page, UsageFilter, UsageStore};
use simops::usage::{
    Bucket, Budgets, CallTally, CallTotals, DayTotals, LedgerBasis, LedgerPiece, LedgerScan, Op,
    Recount, UsageCorrection, UsageCounter, UsageRow,
};

use crate::PostgresStore;
use crate::ledger_rows::call_sums;

#[async_trait]
impl UsageStore for PostgresStore {
    async fn record_usage(&self, rows: &[UsageRow]) -> Result<()> {
        self.counting.call(Op::Settle(rows.to_vec())).await.map(drop)
    }

    async fn day_totals(&self, day: Date) -> Result<DayTotals> {
        Ok(self.day_use(day).await?.settled)
    }

    async fn llm_totals(&self, scope: &ActivityScope) -> Result<CallTotals> {
        let totals = match scope {
            ActivityScope::Run(run_id) => run_totals(run_id),
            ActivityScope::Since(since) => {
                let sql = format!(
                    "SELECT {} FROM usage{LATER_OF_CALLS} WHERE created_at >= $1 AND sent",
                    call_sums()
                );
                Statement::new(sql).bind(*since)
            }
        };
        let totals: Option<CallTotals> = self.fetch_optional(totals).await?;
        Ok(totals.unwrap_or_default())
    }

    async fn llm_totals_by_run(&self, run_ids: &[String]) -> Result<Vec<(String, CallTotals)>> {
        self.fetch_each(run_totals_by_run(run_ids)).await
    }

    async fn failure_window(&self, run_id: &str, since: Timestamp) -> Result<FailureCounts> {
        self.fetch_one(failure_window(run_id, since).control()).await
    }

    async fn usage_series(
        &self,
        run_id: Option<&str>,
        since: Timestamp,
        step: SignedDuration,
    ) -> Result<Vec<Bucket>> {
        // Counts like [`simops::usage::Series`], in the database.
        let series = Statement::new(
            "SELECT (floor(extract(epoch FROM created_at) / $1) * $1)::bigint, provider, count(*), \
                 count(*) FILTER (WHERE NOT success), \
                 least(sum(cost), 9223372036854775807)::bigint \
             FROM usage WHERE created_at >= $2 AND ($3 IS NULL OR run_id = $3) \
             GROUP BY 1, provider ORDER BY 1, provider COLLATE \"C\"",
        )
        .bind(step.as_secs().max(1))
        .bind(since)
        .bind(run_id);
        self.fetch_all(series).await
    }

    async fn tally_calls(
        &self,
        run_id: Option<&str>,
        window: EventWindow,
    ) -> Result<Vec<CallTally>> {
        let sum = |column: &str| {
            format!(
                "least(coalesce(sum({column}) FILTER (WHERE sent), 0), 9223372036854775807)::bigint"
            )
        };
        let tallies = Statement::new(format!(
            "SELECT provider, model_requested, success, error_type, \
                 count(*) FILTER (WHERE sent), count(*) FILTER (WHERE NOT sent), \
                 count(*) FILTER (WHERE sent AND fallback_used), \
                 count(*) FILTER (WHERE sent AND NOT priced), {}, {}, {} \
             FROM usage{LATER_OF_CALLS} WHERE created_at > $1 AND created_at <= $2 \
                 AND ($3 IS NULL OR run_id = $3) GROUP BY 1, 2, 3, 4",
            sum("input_tokens"),
            sum("output_tokens"),
            sum("cost")
        ))
        .bind(window.after)
        .bind(window.until)
        .bind(run_id);
        let mut tallies: Vec<CallTally> = self.fetch_all(tallies).await?;
        tallies.sort_unstable();
        Ok(tallies)
    }

    async fn usage_rows(&self, filter: &UsageFilter, limit: usize) -> Result<Page<UsageRow>> {
        let rows = Statement::new(format!(
            "SELECT place, {USAGE_COLUMNS} FROM usage{LATER_OF_CALLS} \
             WHERE place > $1 AND ($2 IS NULL OR created_at >= $2) \
                 AND ($3 IS NULL OR run_id = $3) \
             ORDER BY place LIMIT $4"
        ))
        .bind(filter.after.unwrap_or(0))
        .bind(filter.since)
        .bind(&filter.run_id)
        .bind(one_more(limit));
        Ok(page(self.fetch_all(rows).await?, limit))
    }

    async fn ledger_basis(&self) -> Result<LedgerBasis> {
        self.read(ReadLedgerBasis).await
    }

    async fn count_calls(
        &self,
        after: i64,
        until: i64,
        limit: usize,
        budgets: &Arc<Budgets>,
    ) -> Result<LedgerPiece> {
        self.read(CountCalls { after, until, limit, budgets: Arc::clone(budgets) }).await
    }

    async fn finish_recount(&self, scan: Arc<LedgerScan>) -> Result<Recount> {
        self.read(FinishRecount(scan)).await
    }

    async fn correct_usage(
        &self,
        revision: i64,
        wrong: Arc<UsageCorrection>,
    ) -> Result<Option<i64>> {
        self.write(CorrectUsage { revision, wrong }).await
    }
}
