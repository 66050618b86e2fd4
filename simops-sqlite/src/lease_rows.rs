//! Rows of open leases.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use simops::store::sql::{LEASE_COLUMNS, lease};
use simops::usage::Lease;
use uuid::Uuid;

use crate::codec::{self, Cells, Micros};
use crate::error::Work;

/// The open leases of `ids`.
pub(crate) fn of_ids(connection: &Connection, ids: &BTreeSet<Uuid>) -> Work<Vec<Lease>> {
    let sql = format!("SELECT {LEASE_COLUMNS} FROM leases WHERE id = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut leases = Vec::new();
    for id in ids {
        leases.extend(statement.query_row([id.as_bytes()], |row| lease(Cells(row))).optional()?);
    }
    Ok(leases)
}

/// Inserts leases.
pub(crate) fn insert(connection: &Connection, new: &[Lease]) -> Work<()> {
    let mut statement = connection.prepare_cached(&format!(
        "INSERT INTO leases ({LEASE_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    ))?;
    for lease in new {
        statement.execute(params![
            lease.id.as_bytes(),
            lease.day.to_string(),
            lease.run_id,
            lease.agent_id,
            lease.checkpoint,
            lease.provider,
            lease.model,
            lease.upper_bound.0,
            lease.priced,
            Micros(lease.created_at),
            Micros(lease.expires_at),
        ])?;
    }
    Ok(())
}

/// Deletes leases.
pub(crate) fn delete(connection: &Connection, ids: &BTreeSet<Uuid>) -> Work<()> {
    let mut statement = connection.prepare_cached("DELETE FROM leases WHERE id = ?1")?;
    for id in ids {
        statement.execute([id.as_bytes()])?;
    }
    Ok(())
}

/// At most `most` leases that expired before `now`, the oldest first.
pub(crate) fn due(connection: &Connection, now: Timestamp, most: i64) -> Work<Vec<Lease>> {
    let sql = format!(
        "SELECT {LEASE_COLUMNS} FROM leases WHERE expires_at < ?1 ORDER BY expires_at LIMIT ?2"
    );
    codec::all(connection, &sql, params![Micros(now), most], |row| lease(row))
}

/// All open leases.
pub(crate) fn all(connection: &Connection) -> Work<Vec<Lease>> {
    let sql = format!("SELECT {LEASE_COLUMNS} FROM leases ORDER BY id");
    codec::all(connection, &sql, [], |row| lease(row))
}
