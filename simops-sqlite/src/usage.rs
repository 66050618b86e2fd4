//! The usage ledger, and its sums per day and per run.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;
use rusqlite::{Connection, OptionalExtension, named_params, params};
use simops::Result;
use simops::store::{ActivityScope, FailureWindow, UsageStore};
use simops::usage::budget::{CallTotals, LlmTotals};
use simops::usage::{DayTotals, NanoUsd, UsageRow};

use crate::SqliteStore;
use crate::codec::Micros;
use crate::error::Work;

#[async_trait]
impl UsageStore for SqliteStore {
    async fn record_usage(&self, rows: &[UsageRow]) -> Result<()> {
        let rows = rows.to_vec();
        self.write(move |tx| record(tx, &rows)).await
    }

    async fn day_totals(&self, day: Date) -> Result<DayTotals> {
        self.read(move |connection| day_totals(connection, day)).await
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

    async fn failure_window(&self, run_id: &str, since: Timestamp) -> Result<FailureWindow> {
        let run_id = run_id.to_owned();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT count(*) FILTER (WHERE NOT success), count(*) FROM usage \
                 WHERE run_id = ?1 AND created_at > ?2",
            )?;
            let window = statement.query_row(params![run_id, Micros(since)], |row| {
                Ok(FailureWindow { failed: row.get(0)?, calls: row.get(1)? })
            })?;
            Ok(window)
        })
        .await
    }
}

fn record(connection: &Connection, rows: &[UsageRow]) -> Work<()> {
    let (mut days, mut runs) = (BTreeMap::new(), BTreeMap::new());
    for row in rows {
        if !insert(connection, row)? {
            continue;
        }
        let day: &mut DayTotals = days.entry(row.day).or_default();
        *day = *day + DayTotals::of(row);
        if let Some(run_id) = &row.run_id {
            let run: &mut CallTotals = runs.entry(run_id).or_default();
            *run = *run + CallTotals::of(row);
        }
    }
    // Added here and not in SQL, where a sum that is too great would turn into a float.
    for (day, used) in days {
        put_day_totals(connection, day, day_totals(connection, day)? + used)?;
    }
    for (run_id, used) in runs {
        put_run_totals(connection, run_id, run_totals(connection, run_id)? + used)?;
    }
    Ok(())
}

/// False when the row is stored already.
fn insert(connection: &Connection, row: &UsageRow) -> Work<bool> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO usage (id, day, run_id, agent_id, checkpoint, provider, model_requested, \
             model_resolved, input_tokens, cached_input_tokens, output_tokens, reasoning_tokens, \
             cost, priced, success, fallback_used, latency_ms, error_type, created_at) \
         VALUES (:id, :day, :run_id, :agent_id, :checkpoint, :provider, :model_requested, \
             :model_resolved, :input_tokens, :cached_input_tokens, :output_tokens, \
             :reasoning_tokens, :cost, :priced, :success, :fallback_used, :latency_ms, \
             :error_type, :created_at) \
         ON CONFLICT (id) DO NOTHING",
    )?;
    let inserted = statement.execute(named_params! {
        ":id": row.id.as_bytes(),
        ":day": row.day.to_string(),
        ":run_id": row.run_id,
        ":agent_id": row.agent_id,
        ":checkpoint": row.checkpoint,
        ":provider": row.provider,
        ":model_requested": row.model_requested,
        ":model_resolved": row.model_resolved,
        ":input_tokens": row.input_tokens,
        ":cached_input_tokens": row.cached_input_tokens,
        ":output_tokens": row.output_tokens,
        ":reasoning_tokens": row.reasoning_tokens,
        ":cost": row.cost.0,
        ":priced": row.priced,
        ":success": row.success,
        ":fallback_used": row.fallback_used,
        ":latency_ms": row.latency_ms,
        ":error_type": row.error_type,
        ":created_at": Micros(row.created_at),
    })?;
    Ok(inserted == 1)
}

fn day_totals(connection: &Connection, day: Date) -> Work<DayTotals> {
    let mut statement = connection.prepare_cached(
        "SELECT calls_total, calls_openrouter_free, calls_groq, calls_gemini, cost \
         FROM usage_days WHERE day = ?1",
    )?;
    let totals = statement.query_row([day.to_string()], |row| {
        Ok(DayTotals {
            calls_total: row.get(0)?,
            calls_openrouter_free: row.get(1)?,
            calls_groq: row.get(2)?,
            calls_gemini: row.get(3)?,
            cost: NanoUsd(row.get(4)?),
        })
    });
    Ok(totals.optional()?.unwrap_or_default())
}

fn put_day_totals(connection: &Connection, day: Date, totals: DayTotals) -> Work<()> {
    let mut statement = connection
        .prepare_cached("INSERT OR REPLACE INTO usage_days VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    statement.execute(params![
        day.to_string(),
        totals.calls_total,
        totals.calls_openrouter_free,
        totals.calls_groq,
        totals.calls_gemini,
        totals.cost.0,
    ])?;
    Ok(())
}

fn run_totals(connection: &Connection, run_id: &str) -> Work<CallTotals> {
    let mut statement = connection.prepare_cached(
        "SELECT calls, success_calls, fallback_calls, total_tokens, cost FROM usage_runs \
         WHERE run_id = ?1",
    )?;
    let totals = statement.query_row([run_id], |row| {
        Ok(CallTotals {
            calls: row.get(0)?,
            success_calls: row.get(1)?,
            fallback_calls: row.get(2)?,
            total_tokens: row.get(3)?,
            cost: NanoUsd(row.get(4)?),
        })
    });
    Ok(totals.optional()?.unwrap_or_default())
}

fn put_run_totals(connection: &Connection, run_id: &str, totals: CallTotals) -> Work<()> {
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
