//! The schema: identifies the database and migrates it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use simops::store::sql::{Migrations, SchemaVersion, no_schema};
use simops::{Error, ErrorKind};

use crate::error::{Failure, Work};

/// Marks a database of simops in the file's header: "SiOp".
const APPLICATION_ID: i32 = 0x5369_4f70;

/// How long to wait for another process that migrates the schema.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(600);

const MIGRATIONS: Migrations = Migrations { all: &ALL, min_writer: 23 };

const ALL: [&str; 23] = [
    include_str!("../migrations/0001_control.sql"),
    include_str!("../migrations/0002_events.sql"),
    include_str!("../migrations/0003_usage.sql"),
    include_str!("../migrations/0004_world.sql"),
    include_str!("../migrations/0005_counting.sql"),
    include_str!("../migrations/0006_duties.sql"),
    include_str!("../migrations/0007_tallies.sql"),
    include_str!("../migrations/0008_kpi.sql"),
    include_str!("../migrations/0009_digests.sql"),
    include_str!("../migrations/0010_alerts.sql"),
    include_str!("../migrations/0011_kpi_folds.sql"),
    include_str!("../migrations/0012_retention.sql"),
    include_str!("../migrations/0013_kpi_runs.sql"),
    include_str!("../migrations/0014_production_mark.sql"),
    include_str!("../migrations/0015_min_writer.sql"),
    include_str!("../migrations/0016_events_in_order.sql"),
    include_str!("../migrations/0017_known_addresses.sql"),
    include_str!("../migrations/0018_recount.sql"),
    include_str!("../migrations/0019_run_labels.sql"),
    include_str!("../migrations/0020_open_runs.sql"),
    include_str!("../migrations/0021_budgets.sql"),
    include_str!("../migrations/0022_sent_calls.sql"),
    include_str!("../migrations/0023_agent_names.sql"),
];

/// The version of the schema. Reads only, so that the file of another program is not changed.
///
/// # Errors
/// `Unusable` for a database of another program.
fn identify(connection: &Connection) -> Work<SchemaVersion> {
    // In one transaction: a database that another process is creating must not look like another
    // program's.
    let snapshot = connection.is_autocommit().then(|| connection.unchecked_transaction());
    let snapshot = snapshot.transpose()?;
    let id: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
    let stored = stored(connection, id == APPLICATION_ID)?;
    drop(snapshot);
    match (id, stored.version) {
        (APPLICATION_ID, _) => Ok(stored),
        (0, 0) if tables == 0 => Ok(stored),
        _ => {
            let detail = "the database of another program; name another file";
            Err(Error::new(ErrorKind::Unusable, detail).into())
        }
    }
}

/// Checks that this program may open the database.
///
/// # Errors
/// `Unusable` for a database of another program, or of a newer simops that lets this one not write.
pub(crate) fn check_newer(connection: &Connection) -> Work<()> {
    Ok(MIGRATIONS.check_newer(identify(connection)?)?)
}

/// The version that is stored. Who may write matters only for a newer schema.
fn stored(connection: &Connection, is_simops: bool) -> Work<SchemaVersion> {
    let version = connection
        .prepare_cached("PRAGMA user_version")?
        .query_row([], |row| row.get::<_, i32>(0))?;
    let version = usize::try_from(version).unwrap_or(usize::MAX);
    let mut min_writer = version;
    if is_simops && version > MIGRATIONS.version() {
        let least = "SELECT min_writer FROM schema_writers";
        let least: i64 = connection.prepare_cached(least)?.query_row([], |row| row.get(0))?;
        min_writer = usize::try_from(least).unwrap_or(usize::MAX);
    }
    Ok(SchemaVersion { version, min_writer })
}

/// Migrates the schema. Waits for another process that does, until `closed`.
///
/// The version is read again under the write lock: of several processes that start at once, one
/// migrates. A crash leaves the old schema or the new one.
pub(crate) fn migrate(connection: &Connection, closed: &AtomicBool) -> Work<()> {
    if MIGRATIONS.pending(identify(connection)?)?.is_empty() {
        return Ok(());
    }
    lock(connection, closed)?;
    let migrated = apply(connection);
    if !connection.is_autocommit() {
        connection.execute_batch(if migrated.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
    }
    migrated
}

/// Takes the write lock.
fn lock(connection: &Connection, closed: &AtomicBool) -> Work<()> {
    let deadline = Instant::now() + MIGRATION_TIMEOUT;
    let mut has_warned = false;
    loop {
        let Err(error) = connection.execute_batch("BEGIN IMMEDIATE") else { return Ok(()) };
        let failure = Failure::from(error);
        let waits = Instant::now() < deadline && !closed.load(Ordering::Acquire);
        if !failure.is_locked() || !waits {
            return Err(failure);
        }
        if !std::mem::replace(&mut has_warned, true) {
            tracing::warn!(
                code = "migration_waits",
                "waiting for another process that writes to the database, to migrate its schema"
            );
        }
    }
}

fn apply(connection: &Connection) -> Work<()> {
    let pending = MIGRATIONS.pending(identify(connection)?)?;
    if pending.is_empty() {
        return Ok(());
    }
    for migration in pending {
        connection.execute_batch(migration)?;
    }
    let number = |version| i64::try_from(version).unwrap_or(0);
    connection
        .execute("UPDATE schema_writers SET min_writer = ?1", [number(MIGRATIONS.min_writer)])?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", number(MIGRATIONS.version()))?;
    Ok(())
}

/// Checks that the database has a schema. What a newer simops has migrated meanwhile is still read.
///
/// # Errors
/// `Unusable` for a database of another program, or an empty one.
pub(crate) fn check_reader(connection: &Connection) -> Work<()> {
    match identify(connection)?.version {
        0 => Err(no_schema().into()),
        _ => Ok(()),
    }
}

/// Checks, within a transaction that writes, that this program may write.
///
/// # Errors
/// `Unusable` otherwise.
pub(crate) fn check_writer(connection: &Connection) -> Work<()> {
    Ok(MIGRATIONS.check_writer(stored(connection, true)?)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests;
