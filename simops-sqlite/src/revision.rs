//! The revision that watchers follow: incremented in the database, published in this process.

use rusqlite::Connection;
use tokio::sync::watch;

use crate::error::Work;

/// Increments the revision in the open transaction and returns the new one.
pub(crate) fn increment_revision(connection: &Connection) -> Work<u64> {
    let mut statement = connection
        .prepare_cached("UPDATE control SET revision = revision + 1 RETURNING revision")?;
    let revision: i64 = statement.query_row([], |row| row.get(0))?;
    Ok(revision.cast_unsigned())
}

/// The stored revision.
pub(crate) fn stored(connection: &Connection) -> Work<u64> {
    let mut statement = connection.prepare_cached("SELECT revision FROM control")?;
    let revision: i64 = statement.query_row([], |row| row.get(0))?;
    Ok(revision.cast_unsigned())
}

/// Wakes watchers if `now` is newer than what they have seen. The poller and the writer may publish
/// out of order.
pub(crate) fn publish(revision: &watch::Sender<u64>, now: u64) {
    revision.send_if_modified(|seen| {
        let is_newer = now > *seen;
        *seen = now.max(*seen);
        is_newer
    });
}
