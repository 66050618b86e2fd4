//! Storage traits, one per concern, and [`RunStore`], which combines them.
//!
//! # Contract of every trait
//! - A write that returned `Ok` is durable: it survives a crash.
//! - A call that returned an error changed nothing. The exception is `Unavailable` from a write: its
//!   outcome may be unknown. Every write carries an id, a uid or a generation, so it can be repeated
//!   safely, and repeating it reveals the outcome.
//! - A write is atomic. If its future is dropped, the write is either completed or not executed.
//! - A write that returned is visible to all handles of the same database, in all processes.
//! - Stores contain no business rules. They store what the pure functions decided.
//!
//! # Errors
//! Every method can return `Unavailable` (the database is unreachable, locked or full; a retry can
//! succeed) and `Unusable` (the data is corrupt or was written by a newer version). Methods document
//! their other errors.

mod agents;
mod alerts;
mod control;
mod digests;
mod disk;
mod events;
mod hosts;
mod known_addresses;
mod kpi;
mod leader_leases;
mod page;
mod retention;
pub mod rules;
#[cfg(feature = "sql")]
pub mod sql;
mod tally;
mod usage;
mod world;

pub use agents::AgentStore;
pub use alerts::{AlertStore, MessageRecord};
pub use control::{
    AuditPage, Commit, ControlStore, IDEMPOTENCY_PERIOD, IdempotencyKey, IdempotencyRecord,
    RunFilter,
};
pub use digests::{DigestStore, ReportStore, StoredReport};
pub use disk::DiskSpace;
pub use events::{ActivityScope, EventCount, EventFilter, EventStore};
pub use hosts::HostStore;
pub use known_addresses::{KnownAddress, KnownAddressStore};
pub use kpi::{KpiBasis, KpiSnapshot, KpiStore, SelectedVisits, VisitFilter};
pub use leader_leases::{FencingToken, LeaderLease, LeaderLeaseStore};
pub use page::Page;
pub use retention::{LogTable, PruneCutoff, RetentionStore};
pub use tally::{TallyStore, TimeCursor};
pub use usage::{FailureCounts, UsageFilter, UsageStore};
pub use world::{Documents, EpochStatus, TurnCommit, World, WorldEpoch, WorldStore};

use crate::usage::CountingStore;

/// A complete store. It is also a [`UsageCounter`](crate::usage::UsageCounter) that counts in the
/// database's transactions.
pub trait RunStore:
    ControlStore
    + AgentStore
    + AlertStore
    + LeaderLeaseStore
    + EventStore
    + TallyStore
    + DigestStore
    + ReportStore
    + HostStore
    + KnownAddressStore
    + KpiStore
    + RetentionStore
    + UsageStore
    + CountingStore
    + WorldStore
    + Send
    + Sync
    + 'static
{
}

impl<S> RunStore for S where
    S: ControlStore
        + AgentStore
        + AlertStore
        + LeaderLeaseStore
        + EventStore
        + TallyStore
        + DigestStore
        + ReportStore
        + HostStore
        + KnownAddressStore
        + KpiStore
        + RetentionStore
        + UsageStore
        + CountingStore
        + WorldStore
        + Send
        + Sync
        + 'static
{
}
