//! Recounts of the stored sums, in pieces: reads a log piece by piece outside of any lock, compares its
//! sums with the stored ones, and corrects those that are wrong in short transactions.
//!
//! A recount is exact while others record, prune and delete. What is recorded moves the stored sums and
//! their correct values alike, so a difference found in one snapshot is still the difference later.
//! What else moves only one of them is found by the [`KpiBasis`](crate::store::KpiBasis) and the
//! [`LedgerBasis`](crate::usage::LedgerBasis), and counted again.
//!
//! Its memory is bounded by [`Limits`], not by the size of the log. It has no time limit.
//!
//! # Cancellation
//! Dropping the future of a recount ends it. Corrections that were made stay, each as a whole: of a day
//! all sums or none. A later recount makes the rest.

mod ledger;
mod visits;

use crate::store::{KpiStore, UsageStore};
use crate::usage::Recount;
use crate::{Error, ErrorKind, Result};

pub use ledger::{count_budget, recount_usage};
pub use visits::recount_visits;

use crate::kpi::KpiRecount;

named! {
    /// What a recount is doing.
    pub enum Stage {
        /// Reads the log: visitors' events, or rows of the ledger.
        Counting = "counting",
        /// Compares days with their stored sums.
        Comparing = "comparing",
        /// Writes the index of recorded events.
        Indexing = "indexing",
    }
}

/// How far a recount is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecountProgress {
    /// What it is doing.
    pub stage: Stage,
    /// Events, rows or days that are done.
    pub done: u64,
    /// The total that is known so far.
    pub of: u64,
}

/// A callback that receives the progress of a recount, after each piece.
pub type OnProgress<'a> = &'a (dyn Fn(RecountProgress) + Send + Sync);

/// Ignores the progress of a recount.
pub const UNWATCHED: OnProgress<'static> = &|_| {};

/// The sizes of the pieces of a recount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Events or rows that are read at once.
    pub piece: usize,
    /// Visitors' days that are held in memory, about 50 bytes each. A log with more of them is read
    /// several times, each time for other visitors.
    pub visitor_days: usize,
    /// Days whose sums are compared in one snapshot.
    pub days: usize,
    /// Rows that are corrected in one transaction.
    pub corrections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        // As many as fit a hash map of 2^21 slots.
        Self { piece: 10_000, visitor_days: 1_800_000, days: 30, corrections: 2_000 }
    }
}

/// Recounts with default limits, whose progress is ignored.
pub trait RecountExt: KpiStore + UsageStore {
    /// Compares the sums of visitors' events with the events.
    fn recount_kpi(&self) -> impl Future<Output = Result<KpiRecount>> + Send {
        recount_visits(self, false, Limits::default(), UNWATCHED)
    }

    /// The same, and corrects what is wrong. Returns what was found before.
    fn rebuild_kpi(&self) -> impl Future<Output = Result<KpiRecount>> + Send {
        recount_visits(self, true, Limits::default(), UNWATCHED)
    }

    /// Compares the sums of model calls with the ledger and the open leases.
    fn recount(&self) -> impl Future<Output = Result<Recount>> + Send {
        recount_usage(self, false, Limits::default(), UNWATCHED)
    }

    /// The same, and corrects what is wrong. Returns what was found before.
    fn rebuild_usage(&self) -> impl Future<Output = Result<Recount>> + Send {
        recount_usage(self, true, Limits::default(), UNWATCHED)
    }
}

impl<S: KpiStore + UsageStore + ?Sized> RecountExt for S {}

/// How often a recount begins again because others correct or delete what it counts.
const MAX_RESTARTS: usize = 20;

fn disturbed() -> Error {
    Error::unavailable(
        "what is recounted is being deleted, pruned or corrected by another process: run it again \
         when that has ended",
    )
}

/// The error of a correction. One that the database did not answer may have been made.
fn unknown_outcome(error: Error) -> Error {
    if error.kind() != ErrorKind::Unavailable {
        return error;
    }
    let detail = format!(
        "{}; whether the last correction was made is unknown, earlier ones are kept: run verify",
        error.detail()
    );
    Error::unavailable(detail).with_source(error)
}
