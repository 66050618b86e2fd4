//! Rows of the usage ledger, and of the sums per run and of pruned calls.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, params};
use simops::store::sql::{
    PRUNED_CALLS_COLUMNS, PrunedCalls, USAGE_COLUMNS, call_totals, pruned_calls, usage_row,
};
use simops::usage::CallTotals;
use simops::usage::UsageRow;
use uuid::Uuid;

use crate::codec::{Cells, Micros, all};
use crate::error::Work;

/// The stored rows of `ids`.
pub(crate) fn of_ids(connection: &Connection, ids: &BTreeSet<Uuid>) -> Work<Vec<UsageRow>> {
    let sql = format!("SELECT {USAGE_COLUMNS} FROM usage WHERE id = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = Vec::new();
    for id in ids {
        rows.extend(statement.query_row([id.as_bytes()], |row| usage_row(Cells(row))).optional()?);
    }
    Ok(rows)
}

/// Inserts rows in this order.
pub(crate) fn insert(connection: &Connection, new: &[UsageRow]) -> Work<()> {
    let sql = format!(
        "INSERT INTO usage ({USAGE_COLUMNS}) \
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

/// Executes `sql` per row, whose parameters are the [`USAGE_COLUMNS`].
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

pub(crate) fn run_totals(connection: &Connection, run_id: &str) -> Work<CallTotals> {
    let mut statement = connection.prepare_cached(
        "SELECT calls, success_calls, fallback_calls, total_tokens, cost FROM usage_runs \
         WHERE run_id = ?1",
    )?;
    let totals = statement.query_row([run_id], |row| call_totals(Cells(row), 0));
    Ok(totals.optional()?.unwrap_or_default())
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

/// Sums of all pruned calls.
pub(crate) fn all_pruned_calls(connection: &Connection) -> Work<Vec<PrunedCalls>> {
    let sql = format!("SELECT {PRUNED_CALLS_COLUMNS} FROM usage_pruned");
    all(connection, &sql, [], |row| pruned_calls(row))
}
