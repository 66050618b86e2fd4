//! Checkpoints: copies the commits in the write-ahead log to the database file, in a thread of its own.
//!
//! SQLite itself does that within the commit that finds the log long. On a large database, whose changed
//! pages are far apart, that commit would take hundreds of milliseconds, and every write behind it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{JoinHandle, park};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use simops::Result;

use crate::SqliteOptions;
use crate::connection::{Role, Slot, log_pages, with_lock_timeout};
use crate::error::Work;
use crate::location::Location;
use crate::threads::{end, start};

/// A checkpoint begins each time the log has grown by this number of pages: 4 MiB.
const INTERVAL_PAGES: u32 = 1_000;
/// From this number of pages on, the log is written from its start again: 16 MiB. SQLite does that by itself
/// if a write begins when all of the log is copied and no reader uses it, which frequent writes or reads
/// prevent.
const LONG_LOG_PAGES: u32 = 4_000;
/// How long writes wait for readers that began before.
const RESTART_TIMEOUT: Duration = Duration::from_millis(50);
/// Delay between two such waits while readers hold the log.
const RETRY_DELAY: Duration = Duration::from_secs(2);

/// The thread that checkpoints. Dropping it ends the thread, after the checkpoint that runs.
pub(crate) struct Checkpointer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    log_pages: AtomicU32,
    closed: AtomicBool,
}

impl Checkpointer {
    /// Starts the thread for the database at `location`.
    pub(crate) fn start(location: &Location, options: &SqliteOptions) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let slot = Slot::new(location, Role::Writer, options);
        let theirs = Arc::clone(&shared);
        let thread = start("simops-sqlite-checkpoint", move || run(slot, &theirs))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Begins a checkpoint if the log is long enough. To be called by the thread that commits, after it did.
    pub(crate) fn committed(&self) {
        let pages = log_pages();
        self.shared.log_pages.store(pages, Ordering::Release);
        if pages >= INTERVAL_PAGES
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        end(self.thread.take());
    }
}

fn run(mut slot: Slot, shared: &Shared) {
    // The length of the log when it was last copied.
    let (mut copied, mut restart_at) = (0, Instant::now());
    while !shared.closed.load(Ordering::Acquire) {
        let pages = shared.log_pages.load(Ordering::Acquire);
        if pages < copied {
            // The log was written from its start again.
            copied = 0;
        }
        if pages < copied + INTERVAL_PAGES {
            park();
            continue;
        }
        copied = pages;
        let done = slot.get().and_then(|connection| {
            checkpoint(connection, "PASSIVE")?;
            if pages >= LONG_LOG_PAGES && Instant::now() >= restart_at {
                // Writes wait for this one, but most of the log is copied.
                let restart = || checkpoint(connection, "RESTART");
                if !with_lock_timeout(RESTART_TIMEOUT, restart)? {
                    restart_at = Instant::now() + RETRY_DELAY;
                }
            }
            Ok(())
        });
        if let Err(failure) = done {
            // A write that fails for the same reason reports it.
            tracing::debug!(error = %failure.copy().into_error(), "checkpoint failed");
            slot.after(&failure);
        }
    }
}

/// Whether it was completed: other processes or readers may prevent that.
fn checkpoint(connection: &Connection, mode: &str) -> Work<bool> {
    let busy: i64 =
        connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get(0))?;
    Ok(busy == 0)
}
