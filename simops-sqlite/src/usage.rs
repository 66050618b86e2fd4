//! The usage ledger, and its sums per day and per run.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};
use simops::Result;
use simops::event::EventWindow;
use simops::store::{ActivityScope, FailureCounts, Page, UsageFilter, UsageStore};
use simops::usage::CallTally;
use simops::usage::budget::{CallTotals, LlmTotals};
use simops::usage::recount::Recount;
use simops::usage::series::{Bucket, Series};
use simops::usage::{DayTotals, NanoUsd, Op, UsageRow};
use uuid::Uuid;

use crate::codec::{Micros, one_more};
use crate::days::{date, day_use};
use crate::error::Work;
use crate::{SqliteStore, recount};

#[async_trait]
impl UsageStore for SqliteStore {
    async fn record_usage(&self, rows: &[UsageRow]) -> Result<()> {
        self.apply(Op::Settle(rows.to_vec())).await.map(drop)
    }

    async fn day_totals(&self, day: Date) -> Result<DayTotals> {
        self.read(move |connection| Ok(day_use(connection, day)?.settled)).await
    }

    async fn llm_totals(&self, scope: &ActivityScope) -> Result<LlmTotals> {
        let scope = scope.clone();
        self.read(move |connection| {
            let totals = match scope {
                ActivityScope::Run(run_id) => run_totals(connection, &run_id)?,
                ActivityScope::Since(since) => totals_since(connection, since)?,
            };
            Ok(totals.shown())
        })
        .await
    }

    async fn failure_window(&self, run_id: &str, since: Timestamp) -> Result<FailureCounts> {
        let run_id = run_id.to_owned();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT count(*) FILTER (WHERE NOT success), count(*) FROM usage \
                 WHERE run_id = ?1 AND created_at > ?2",
            )?;
            let window = statement.query_row(params![run_id, Micros(since)], |row| {
                Ok(FailureCounts { failed: row.get(0)?, calls: row.get(1)? })
            })?;
            Ok(window)
        })
        .await
    }

    async fn usage_series(
        &self,
        run_id: Option<&str>,
        since: Timestamp,
        step: SignedDuration,
    ) -> Result<Vec<Bucket>> {
        let run_id = run_id.map(str::to_owned);
        self.read(move |connection| series(connection, run_id.as_deref(), since, step)).await
    }

    async fn tally_calls(
        &self,
        run_id: Option<&str>,
        window: EventWindow,
    ) -> Result<Vec<CallTally>> {
        let run_id = run_id.map(str::to_owned);
        self.read(move |connection| tally(connection, run_id.as_deref(), window)).await
    }

    async fn usage_rows(&self, filter: &UsageFilter, limit: usize) -> Result<Page<UsageRow>> {
        let filter = filter.clone();
        self.read(move |connection| rows(connection, &filter, limit)).await
    }

    async fn recount(&self) -> Result<Recount> {
        self.read(recount::recount).await
    }

    async fn rebuild_usage(&self) -> Result<Recount> {
        self.write(|tx| recount::rebuild(tx)).await
    }
}

pub(crate) const COLUMNS: &str = "id, day, run_id, agent_id, checkpoint, provider, \
     model_requested, model_resolved, input_tokens, cached_input_tokens, output_tokens, \
     reasoning_tokens, cost, priced, success, fallback_used, latency_ms, error_type, created_at";

/// The stored rows of `ids`.
pub(crate) fn of_ids(connection: &Connection, ids: &BTreeSet<Uuid>) -> Work<Vec<UsageRow>> {
    let sql = format!("SELECT {COLUMNS} FROM usage WHERE id = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = Vec::new();
    for id in ids {
        rows.extend(statement.query_row([id.as_bytes()], row).optional()?);
    }
    Ok(rows)
}

/// Inserts rows in this order.
pub(crate) fn insert(connection: &Connection, new: &[UsageRow]) -> Work<()> {
    let sql = format!(
        "INSERT INTO usage ({COLUMNS}) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    );
    write(connection, &sql, new)
}

/// Overwrites stored rows, which keep their place in listings.
pub(crate) fn replace(connection: &Connection, new: &[UsageRow]) -> Work<()> {
    let sql = "UPDATE usage SET day = ?2, run_id = ?3, agent_id = ?4, checkpoint = ?5, \
         provider = ?6, model_requested = ?7, model_resolved = ?8, input_tokens = ?9, \
         cached_input_tokens = ?10, output_tokens = ?11, reasoning_tokens = ?12, cost = ?13, \
         priced = ?14, success = ?15, fallback_used = ?16, latency_ms = ?17, error_type = ?18, \
         created_at = ?19 WHERE id = ?1";
    write(connection, sql, new)
}

/// Executes `sql` per row, whose parameters are the [`COLUMNS`].
fn write(connection: &Connection, sql: &str, rows: &[UsageRow]) -> Work<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut statement = connection.prepare_cached(sql)?;
    for row in rows {
        statement.execute(params![
            row.id.as_bytes(),
            row.day.to_string(),
            row.run_id,
            row.agent_id,
            row.checkpoint,
            row.provider,
            row.model_requested,
            row.model_resolved,
            row.input_tokens,
            row.cached_input_tokens,
            row.output_tokens,
            row.reasoning_tokens,
            row.cost.0,
            row.priced,
            row.success,
            row.fallback_used,
            row.latency_ms,
            row.error_type,
            Micros(row.created_at),
        ])?;
    }
    Ok(())
}

/// A row of [`COLUMNS`].
pub(crate) fn row(row: &Row<'_>) -> rusqlite::Result<UsageRow> {
    Ok(UsageRow {
        id: Uuid::from_bytes(row.get(0)?),
        day: date(row, 1)?,
        run_id: row.get(2)?,
        agent_id: row.get(3)?,
        checkpoint: row.get(4)?,
        provider: row.get(5)?,
        model_requested: row.get(6)?,
        model_resolved: row.get(7)?,
        input_tokens: row.get(8)?,
        cached_input_tokens: row.get(9)?,
        output_tokens: row.get(10)?,
        reasoning_tokens: row.get(11)?,
        cost: NanoUsd(row.get(12)?),
        priced: row.get(13)?,
        success: row.get(14)?,
        fallback_used: row.get(15)?,
        latency_ms: row.get(16)?,
        error_type: row.get(17)?,
        created_at: row.get::<_, Micros>(18)?.0,
    })
}

fn tally(
    connection: &Connection,
    run_id: Option<&str>,
    window: EventWindow,
) -> Work<Vec<CallTally>> {
    let of_run = if run_id.is_some() { "run_id = ?3" } else { "?3 IS NULL" };
    let index = if run_id.is_some() { "usage_by_run" } else { "usage_by_time" };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM usage INDEXED BY {index} \
         WHERE created_at > ?1 AND created_at <= ?2 AND {of_run}"
    ))?;
    let calls = statement
        .query_map(params![Micros(window.after), Micros(window.until), run_id], |found| {
            Ok(CallTally::of(&row(found)?))
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

fn rows(connection: &Connection, filter: &UsageFilter, limit: usize) -> Work<Page<UsageRow>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS}, rowid FROM usage \
         WHERE rowid > ?1 AND created_at >= ?2 AND (?3 IS NULL OR run_id = ?3) \
         ORDER BY rowid LIMIT ?4"
    ))?;
    let after = filter.after.unwrap_or(0);
    let since = filter.since.unwrap_or(Timestamp::MIN);
    let found = statement
        .query_map(params![after, Micros(since), filter.run_id, one_more(limit)], |found| {
            Ok((found.get::<_, i64>(19)?, row(found)?))
        })?;
    let cut = Page::cut(found.collect::<rusqlite::Result<_>>()?, limit, |(place, _)| *place);
    Ok(Page { items: cut.items.into_iter().map(|(_, row)| row).collect(), next: cut.next })
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

pub(crate) fn run_totals(connection: &Connection, run_id: &str) -> Work<CallTotals> {
    let mut statement = connection.prepare_cached(
        "SELECT calls, success_calls, fallback_calls, total_tokens, cost FROM usage_runs \
         WHERE run_id = ?1",
    )?;
    let totals = statement.query_row([run_id], |row| call_totals(row, 0));
    Ok(totals.optional()?.unwrap_or_default())
}

/// Five sums in the order of the columns, starting at the column `first`.
pub(crate) fn call_totals(row: &Row<'_>, first: usize) -> rusqlite::Result<CallTotals> {
    Ok(CallTotals {
        calls: row.get(first)?,
        success_calls: row.get(first + 1)?,
        fallback_calls: row.get(first + 2)?,
        total_tokens: row.get(first + 3)?,
        cost: NanoUsd(row.get(first + 4)?),
    })
}

pub(crate) fn put_run_totals(
    connection: &Connection,
    run_id: &str,
    totals: CallTotals,
) -> Work<()> {
    let mut statement = connection
        .prepare_cached("INSERT OR REPLACE INTO usage_runs VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    statement.execute(params![
        run_id,
        totals.calls,
        totals.success_calls,
        totals.fallback_calls,
        totals.total_tokens,
        totals.cost.0,
    ])?;
    Ok(())
}

fn totals_since(connection: &Connection, since: Timestamp) -> Work<CallTotals> {
    let mut statement = connection.prepare_cached(
        "SELECT success, fallback_used, input_tokens, output_tokens, cost FROM usage \
         WHERE created_at >= ?1",
    )?;
    let calls = statement.query_map([Micros(since)], |row| {
        Ok(CallTotals {
            calls: 1,
            success_calls: row.get(0)?,
            fallback_calls: row.get(1)?,
            total_tokens: row.get::<_, i64>(2)?.saturating_add(row.get(3)?),
            cost: NanoUsd(row.get(4)?),
        })
    })?;
    let mut totals = CallTotals::default();
    for call in calls {
        totals = totals + call?;
    }
    Ok(totals)
}
