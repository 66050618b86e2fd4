//! The schema: identifies the database and migrates it.

use rusqlite::Connection;
use simops::store::sql::pending_migrations;
use simops::{Error, ErrorKind};

use crate::error::Work;

/// Marks a database of simops in the file's header: "SiOp".
const APPLICATION_ID: i32 = 0x5369_4f70;

/// Each migrates the schema from its index to the next version. Append only.
const MIGRATIONS: [&str; 14] = [
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
];

/// The version of the schema; 0 for an empty database. Reads only, so that the file of another
/// program is not changed.
///
/// # Errors
/// `Unusable` for a database of another program or of a newer simops.
pub(crate) fn identify(connection: &Connection) -> Work<usize> {
    // In one transaction: a database that another process is creating must not look like another
    // program's.
    let snapshot = connection.is_autocommit().then(|| connection.unchecked_transaction());
    let snapshot = snapshot.transpose()?;
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let (id, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
    drop(snapshot);
    match (id, usize::try_from(version)) {
        (APPLICATION_ID, Ok(version)) => {
            pending_migrations(&MIGRATIONS, version)?;
            Ok(version)
        }
        (0, Ok(0)) if tables == 0 => Ok(0),
        _ => refuse("the database of another program; name another file".to_owned()),
    }
}

/// Migrates the schema.
///
/// The version is read again under the write lock: of several processes that start at once, one
/// migrates. A crash leaves the old schema or the new one.
pub(crate) fn migrate(connection: &Connection) -> Work<()> {
    if identify(connection)? == MIGRATIONS.len() {
        return Ok(());
    }
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let migrated = apply(connection);
    if !connection.is_autocommit() {
        connection.execute_batch(if migrated.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
    }
    migrated
}

fn apply(connection: &Connection) -> Work<()> {
    let version = identify(connection)?;
    for migration in pending_migrations(&MIGRATIONS, version)? {
        connection.execute_batch(migration)?;
    }
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", i64::try_from(MIGRATIONS.len()).unwrap_or(0))?;
    Ok(())
}

/// Checks that the schema is of the current version.
///
/// # Errors
/// `Unusable` otherwise.
pub(crate) fn check_current(connection: &Connection) -> Work<()> {
    let version = identify(connection)?;
    if version == MIGRATIONS.len() {
        return Ok(());
    }
    refuse(format!(
        "the database was replaced by one of schema version {version}; restart simops to migrate it"
    ))
}

fn refuse<T>(detail: String) -> Work<T> {
    Err(Error::new(ErrorKind::Unusable, detail).into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests;
