//! What a store does, one role per concern, and [`RunStore`], their sum.
//!
//! # Contract of every role
//! - A call that returns `Ok` is durable: a crash right after it loses nothing.
//! - A call that returns an error changed nothing, except `Unavailable` from a write, whose
//!   outcome may be unknown. Every write carries an id, a uid or a generation, so repeating it is
//!   safe and tells.
//! - Dropping the future of a write may or may not abandon it; it is never half done.
//! - A clone or another handle of the same database sees a write once it has returned.
//! - Stores hold no rules: they keep what the pure layer decided.
//!
//! # Errors
//! `Unavailable` (away, locked, full, worth a retry), `Unusable` (corrupt, or written by a newer
//! version), and those that a method names.

pub mod alerts;
pub mod control;
pub mod digests;
pub mod events;
pub mod hosts;
pub mod kpi;
pub mod leader_leases;
pub mod page;
pub mod retention;
pub mod tally;
pub mod usage;
pub mod world;

pub use alerts::{AlertStore, MessageRecord};
pub use control::{AuditPage, Commit, ControlStore, IdempotencyKey, IdempotencyRecord};
pub use digests::{DigestStore, ReportStore, StoredReport};
pub use events::{ActivityScope, EventCount, EventFilter, EventStore};
pub use hosts::HostStore;
pub use kpi::KpiStore;
pub use leader_leases::{FencingToken, LeaderLease, LeaderLeaseStore};
pub use page::Page;
pub use retention::{LogTable, PruneCutoff, RetentionStore};
pub use tally::{TallyStore, TimeCursor};
pub use usage::{FailureCounts, UsageFilter, UsageStore};
pub use world::{Documents, EpochStatus, TurnCommit, World, WorldEpoch, WorldStore};

use crate::usage::CountingStore;

/// Everything simops keeps. It is a [`UsageCounter`](crate::usage::UsageCounter), too, that counts in its
/// own transactions.
pub trait RunStore:
    ControlStore
    + AlertStore
    + LeaderLeaseStore
    + EventStore
    + TallyStore
    + DigestStore
    + ReportStore
    + HostStore
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
        + AlertStore
        + LeaderLeaseStore
        + EventStore
        + TallyStore
        + DigestStore
        + ReportStore
        + HostStore
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
