//! The revision that watchers follow: counted in the database, published in this process.
//!
//! Own commits publish it at once. Those of other processes are noticed by reading its row a few
//! times a second: some microseconds, served from the cache while nothing changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::park_timeout;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::watch;

use crate::connection::Slot;
use crate::error::Work;

/// How long to leave a database alone that could not be read.
const AFTER_A_FAILURE: Duration = Duration::from_secs(1);

/// Counts the revision up in the transaction that is open; the new one.
pub(crate) fn count_up(connection: &Connection) -> Work<u64> {
    let mut statement = connection
        .prepare_cached("UPDATE control SET revision = revision + 1 RETURNING revision")?;
    let revision: i64 = statement.query_row([], |row| row.get(0))?;
    Ok(revision.cast_unsigned())
}

/// The revision that is stored.
pub(crate) fn stored(connection: &Connection) -> Work<u64> {
    let mut statement = connection.prepare_cached("SELECT revision FROM control")?;
    let revision: i64 = statement.query_row([], |row| row.get(0))?;
    Ok(revision.cast_unsigned())
}

/// Wakes watchers when `now` is news to them. The thread that looks and the writer may overtake
/// each other, so an older revision is none.
pub(crate) fn publish(revision: &watch::Sender<u64>, now: u64) {
    revision.send_if_modified(|seen| {
        let news = now > *seen;
        *seen = now.max(*seen);
        news
    });
}

/// Follows commits of other processes until `closed`.
pub(crate) fn run(
    mut slot: Slot,
    every: Duration,
    revision: &watch::Sender<u64>,
    closed: &Arc<AtomicBool>,
) {
    while !closed.load(Ordering::Acquire) {
        let looked = slot.get().and_then(stored);
        match looked {
            Ok(now) => {
                publish(revision, now);
                park_timeout(every);
            }
            Err(failure) => {
                slot.after(&failure);
                park_timeout(every.max(AFTER_A_FAILURE));
            }
        }
    }
}
