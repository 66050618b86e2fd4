//! The revision that watchers follow.

use rusqlite::Connection;
use simops::store::sql::Statement;

use crate::codec::one;
use crate::error::Work;

/// Increments the revision in the open transaction and returns the new one.
pub(crate) fn increment_revision(connection: &Connection) -> Work<u64> {
    let sql = "UPDATE control SET revision = revision + 1 RETURNING revision";
    one(connection, &Statement::new(sql)).map(i64::cast_unsigned)
}

/// The stored revision.
pub(crate) fn stored(connection: &Connection) -> Work<u64> {
    one(connection, &Statement::new("SELECT revision FROM control")).map(i64::cast_unsigned)
}
