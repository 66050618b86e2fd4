//! Rows of open leases and of the usage ledger.

use std::collections::BTreeSet;

use rusqlite::{Connection, params};
use simops::AgentId;
use simops::store::sql::{LEASE_COLUMNS, SqlRecord, Statement, USAGE_COLUMNS, insert, upsert};
use simops::usage::{Lease, UsageRow};
use uuid::Uuid;

use crate::codec::{Micros, first};
use crate::error::Work;

/// The open leases of `ids`.
pub(crate) fn leases(connection: &Connection, ids: &BTreeSet<Uuid>) -> Work<Vec<Lease>> {
    of_ids(connection, format!("SELECT {LEASE_COLUMNS} FROM leases WHERE id = $1"), ids)
}

/// The recorded calls of `ids`.
pub(crate) fn calls(connection: &Connection, ids: &BTreeSet<Uuid>) -> Work<Vec<UsageRow>> {
    of_ids(connection, format!("SELECT {USAGE_COLUMNS} FROM usage WHERE id = $1"), ids)
}

fn of_ids<T: SqlRecord>(
    connection: &Connection,
    sql: String,
    ids: &BTreeSet<Uuid>,
) -> Work<Vec<T>> {
    let select = Statement::new(sql);
    let found = ids.iter().map(|id| first(connection, &select.clone().bind(*id)));
    found.filter_map(Result::transpose).collect()
}

/// Inserts leases.
pub(crate) fn insert_leases(connection: &Connection, new: &[Lease]) -> Work<()> {
    let mut statement = connection.prepare_cached(&insert("leases", LEASE_COLUMNS))?;
    for lease in new {
        statement.execute(params![
            lease.id.as_bytes(),
            lease.day.to_string(),
            lease.run_id,
            lease.agent_id.as_ref().and_then(AgentId::number),
            lease.agent_id.as_ref().and_then(AgentId::name),
            lease.checkpoint,
            lease.provider,
            lease.model,
            lease.upper_bound.0,
            lease.priced,
            Micros(lease.created_at),
            Micros(lease.expires_at),
            lease.input_tokens,
            lease.output_tokens,
        ])?;
    }
    Ok(())
}

/// Deletes leases.
pub(crate) fn delete_leases(connection: &Connection, ids: &BTreeSet<Uuid>) -> Work<()> {
    let mut statement = connection.prepare_cached("DELETE FROM leases WHERE id = ?1")?;
    for id in ids {
        statement.execute([id.as_bytes()])?;
    }
    Ok(())
}

/// Inserts calls in this order.
pub(crate) fn insert_calls(connection: &Connection, new: &[UsageRow]) -> Work<()> {
    write_calls(connection, &insert("usage", USAGE_COLUMNS), new)
}

/// Overwrites recorded calls, which keep their place in listings.
pub(crate) fn replace_calls(connection: &Connection, calls: &[UsageRow]) -> Work<()> {
    write_calls(connection, &upsert("usage", "id", USAGE_COLUMNS), calls)
}

/// Executes `sql` for each call, whose parameters are the [`USAGE_COLUMNS`].
fn write_calls(connection: &Connection, sql: &str, calls: &[UsageRow]) -> Work<()> {
    if calls.is_empty() {
        return Ok(());
    }
    let mut statement = connection.prepare_cached(sql)?;
    for call in calls {
        statement.execute(params![
            call.id.as_bytes(),
            call.day.to_string(),
            call.run_id,
            call.agent_id.as_ref().and_then(AgentId::number),
            call.agent_id.as_ref().and_then(AgentId::name),
            call.checkpoint,
            call.provider,
            call.model_requested,
            call.model_resolved,
            call.input_tokens,
            call.cached_input_tokens,
            call.output_tokens,
            call.reasoning_tokens,
            call.cost.0,
            call.priced,
            call.success,
            call.fallback_used,
            call.latency_ms,
            call.error_type,
            Micros(call.created_at),
            call.sent,
            call.over_reservation,
        ])?;
    }
    Ok(())
}
