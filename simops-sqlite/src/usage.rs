//! The usage ledger.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, params};
use simops::Result;
use simops::event::EventWindow;
use simops::store::sql::{
    CorrectUsage, CountCalls, FinishRecount, LATER_OF_CALLS, ReadLedgerBasis, SqlStore, Statement,
    USAGE_COLUMNS, failure_window, one_more, page, run_totals, run_totals_by_run,
};
use simops::store::{ActivityScope, FailureCounts, Page, UsageFilter, UsageStore};
use simops::usage::{
    Bucket, Budgets, CallTally, CallTotals, DayTotals, LedgerBasis, LedgerPiece, LedgerScan,
    NanoUsd, Op, Recount, Series, UsageCorrection, UsageCounter, UsageRow,
};

use crate::SqliteStore;
use crate::codec::{Cells, Micros};
use crate::error::Work;

#[async_trait]
impl UsageStore for SqliteStore {
    async fn record_usage(&self, rows: &[UsageRow]) -> Result<()> {
        self.apply(Op::Settle(rows.to_vec())).await.map(drop)
    }

    async fn day_totals(&self, day: Date) -> Result<DayTotals> {
        Ok(self.day_use(day).await?.settled)
    }

    async fn llm_totals(&self, scope: &ActivityScope) -> Result<CallTotals> {
        match *scope {
            ActivityScope::Run(ref run_id) => {
                Ok(self.fetch_optional(run_totals(run_id)).await?.unwrap_or_default())
            }
            ActivityScope::Since(since) => self.on_reader(move |tx| totals_since(tx, since)).await,
        }
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
        let run_id = run_id.map(str::to_owned);
        self.on_reader(move |tx| series(tx, run_id.as_deref(), since, step)).await
    }

    async fn tally_calls(
        &self,
        run_id: Option<&str>,
        window: EventWindow,
    ) -> Result<Vec<CallTally>> {
        let run_id = run_id.map(str::to_owned);
        self.on_reader(move |tx| tally(tx, run_id.as_deref(), window)).await
    }

    async fn usage_rows(&self, filter: &UsageFilter, limit: usize) -> Result<Page<UsageRow>> {
        let sql = format!(
            "SELECT rowid, {USAGE_COLUMNS} FROM usage{LATER_OF_CALLS} \
             WHERE rowid > $1 AND created_at >= $2 AND ($3 IS NULL OR run_id = $3) \
             ORDER BY rowid LIMIT $4"
        );
        let rows = Statement::new(sql)
            .bind(filter.after.unwrap_or(0))
            .bind(filter.since.unwrap_or(Timestamp::MIN))
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

fn tally(
    connection: &Connection,
    run_id: Option<&str>,
    window: EventWindow,
) -> Work<Vec<CallTally>> {
    let of_run = if run_id.is_some() { "run_id = ?3" } else { "?3 IS NULL" };
    let index = if run_id.is_some() { "usage_by_run" } else { "usage_by_time" };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {USAGE_COLUMNS} FROM usage INDEXED BY {index}{LATER_OF_CALLS} \
         WHERE created_at > ?1 AND created_at <= ?2 AND {of_run}"
    ))?;
    let calls = statement
        .query_map(params![Micros(window.after), Micros(window.until), run_id], |found| {
            Ok(CallTally::of(&Cells::record(found)?))
        })?;
    let mut tallies = BTreeMap::<_, CallTally>::new();
    for call in calls {
        let call = call?;
        match tallies.get_mut(&call.class) {
            Some(tally) => tally.add(&call),
            None => drop(tallies.insert(call.class.clone(), call)),
        }
    }
    Ok(tallies.into_values().collect())
}

fn series(
    connection: &Connection,
    run_id: Option<&str>,
    since: Timestamp,
    step: SignedDuration,
) -> Work<Vec<Bucket>> {
    let mut statement = connection.prepare_cached(
        "SELECT created_at, provider, success, cost FROM usage \
         WHERE created_at >= ?1 AND (?2 IS NULL OR run_id = ?2)",
    )?;
    let mut calls = statement.query(params![Micros(since), run_id])?;
    let mut series = Series::of_steps(step);
    while let Some(call) = calls.next()? {
        let at = call.get::<_, Micros>(0)?.0;
        let provider: String = call.get(1)?;
        series.add(at, &provider, call.get(2)?, NanoUsd(call.get(3)?));
    }
    Ok(series.finish())
}

fn totals_since(connection: &Connection, since: Timestamp) -> Work<CallTotals> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {USAGE_COLUMNS} FROM usage{LATER_OF_CALLS} WHERE created_at >= ?1"
    ))?;
    let calls =
        statement.query_map([Micros(since)], |found| Ok(CallTotals::of(&Cells::record(found)?)))?;
    let mut totals = CallTotals::default();
    for call in calls {
        totals = totals + call?;
    }
    Ok(totals)
}
