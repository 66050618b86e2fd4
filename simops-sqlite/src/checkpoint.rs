//! Checkpoints: copies the commits in the write-ahead log to the database file, in a thread of its own.
//!
//! SQLite itself does that within the commit that finds the log long. On a large database, whose changed
//! pages are far apart, that commit would take hundreds of milliseconds, and every write behind it.
//!
//! The thread copies while others write, so it never reaches the end of a log that grows. The writer
//! does the rest between two transactions, when there is little left, and begins the log again: its
//! length is limited however fast others write.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::{JoinHandle, park};
use std::time::{Duration, Instant};

use simops::Result;

use crate::SqliteOptions;
use crate::connection::{Role, Slot, log_pages, with_lock_timeout};
use crate::location::Location;
use crate::threads::{end, start};

/// A checkpoint begins each time the log has grown by this number of pages: 4 MiB. When no more than that
/// is left to copy, the writer may do it.
const INTERVAL_PAGES: u32 = 1_000;
/// From this length on, the log is begun again when little is left to copy: 16 MiB.
const LONG_LOG_PAGES: u32 = 4_000;
/// From this length on, writes wait until all of the log is copied: 64 MiB.
const MAX_LOG_PAGES: u32 = 16_000;
/// How long writes wait for readers that began before.
const RESTART_TIMEOUT: Duration = Duration::from_millis(50);
/// Delay between two such waits while readers hold the log.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// The thread that checkpoints, as the thread that writes sees it. Dropping it ends the thread, after the
/// checkpoint that runs.
pub(crate) struct Checkpointer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    restart_at: Instant,
}

#[derive(Default)]
struct Shared {
    /// The length of the log.
    log_pages: AtomicU32,
    /// How much of it is copied. Locked during a checkpoint.
    copied: Mutex<u32>,
    closed: AtomicBool,
}

impl Shared {
    fn copied(&self) -> MutexGuard<'_, u32> {
        self.copied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, unless a checkpoint runs.
    fn try_copied(&self) -> Option<MutexGuard<'_, u32>> {
        match self.copied.try_lock() {
            Ok(copied) => Some(copied),
            Err(TryLockError::Poisoned(copied)) => Some(copied.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl Checkpointer {
    /// Starts the thread for the database at `location`.
    pub(crate) fn start(location: &Location, options: &SqliteOptions) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let slot = Slot::new(location, Role::Writer, options);
        let theirs = Arc::clone(&shared);
        let thread = start("simops-sqlite-checkpoint", move || run(slot, &theirs))?;
        Ok(Self { shared, thread: Some(thread), restart_at: Instant::now() })
    }

    /// Begins the log again if it is long. To be called by the thread that commits, after it did, with its
    /// slot; `is_too_long` if the log is longer than the disk allows.
    pub(crate) fn committed(&mut self, slot: &mut Slot, is_too_long: bool) -> Restart {
        let pages = log_pages();
        self.shared.log_pages.store(pages, Ordering::Release);
        if pages >= INTERVAL_PAGES
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
        let is_too_long = is_too_long || pages >= MAX_LOG_PAGES;
        if !(pages >= LONG_LOG_PAGES || is_too_long) || Instant::now() < self.restart_at {
            return Restart::NotDone;
        }
        let copied =
            if is_too_long { Some(self.shared.copied()) } else { self.shared.try_copied() };
        match copied {
            Some(copied) if is_too_long || pages.saturating_sub(*copied) <= INTERVAL_PAGES => {
                restart(slot, copied, &mut self.restart_at)
            }
            _ => Restart::NotDone,
        }
    }

    /// Begins the log again, so that the space of its file can be used by the next commit.
    pub(crate) fn begin_log_again(&mut self, slot: &mut Slot) -> Restart {
        restart(slot, self.shared.copied(), &mut self.restart_at)
    }
}

/// Whether the log was begun again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Restart {
    Done,
    /// Not now: there was no need, or others use the log.
    NotDone,
    /// The disk has no space for the rest of the log in the database.
    NoSpace,
}

/// Copies the rest of the log and begins it again. Where that fails, it is tried again later.
fn restart(slot: &mut Slot, mut copied: MutexGuard<'_, u32>, again_at: &mut Instant) -> Restart {
    let done = match with_lock_timeout(RESTART_TIMEOUT, || slot.checkpoint("RESTART")) {
        Ok(done) if done.is_whole => Restart::Done,
        Err(failure) if failure.is_disk_full() => Restart::NoSpace,
        _ => Restart::NotDone,
    };
    let now = Instant::now();
    if done == Restart::Done {
        *copied = 0;
        *again_at = now;
    } else {
        *again_at = now + RETRY_DELAY;
    }
    done
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        end(self.thread.take());
    }
}

fn run(mut slot: Slot, shared: &Shared) {
    // The length of the log at the last checkpoint.
    let mut last = 0;
    while !shared.closed.load(Ordering::Acquire) {
        let mut copied = shared.copied();
        let pages = shared.log_pages.load(Ordering::Acquire);
        if pages < last {
            // The log was begun again.
            last = 0;
        }
        if pages < last + INTERVAL_PAGES {
            drop(copied);
            park();
            continue;
        }
        last = pages;
        *copied = slot.checkpoint("PASSIVE").map_or(0, |done| done.copied_pages);
    }
}
