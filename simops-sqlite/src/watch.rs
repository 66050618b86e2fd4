//! Polls for the commits of other processes.
//!
//! Reading the row of the revision takes microseconds and is served from the cache while nothing
//! changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::park_timeout;
use std::time::Duration;

use simops::store::sql::publish;
use tokio::sync::watch;

use crate::connection::Slot;
use crate::revision::stored;

/// Poll interval after a failure.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Polls for commits of other processes until `closed`.
pub(crate) fn run(
    mut slot: Slot,
    interval: Duration,
    revision: &watch::Sender<u64>,
    closed: &Arc<AtomicBool>,
) {
    while !closed.load(Ordering::Acquire) {
        match slot.get().and_then(|connection| stored(connection)) {
            Ok(now) => {
                publish(revision, now);
                park_timeout(interval);
            }
            Err(failure) => {
                slot.after(&failure);
                park_timeout(interval.max(RETRY_DELAY));
            }
        }
    }
}
