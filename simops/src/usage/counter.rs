//! The contract of every counter: admission and counting in one step.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Admission, BudgetStore, BudgetUse, Caps, CounterBackend, CounterEpoch, CounterEpochStore,
    DayUse, Lease, UsageRow, UseKey,
};
use crate::Result;

/// Health of a usage counter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CounterStatus {
    /// The backend that counts now: `sqlite`, `postgres`, `memory` or `redis`.
    pub backend: String,
    /// Whether another backend replaces the configured one.
    pub degraded: bool,
    /// When it became degraded.
    pub since: Option<Timestamp>,
    /// Why it is degraded. Contains no secret.
    pub last_error: Option<String>,
}

impl CounterStatus {
    /// A counter that is not degraded.
    pub fn healthy(backend: &str) -> Self {
        Self { backend: backend.to_owned(), degraded: false, since: None, last_error: None }
    }

    /// The status in `epoch`; `backend` names the store.
    pub fn of(epoch: &CounterEpoch, backend: &str) -> Self {
        let backend = if epoch.backend == CounterBackend::Redis { "redis" } else { backend };
        let degraded = epoch.reason.is_some();
        Self {
            degraded,
            since: Some(epoch.since).filter(|_| degraded),
            last_error: epoch.reason.clone(),
            ..Self::healthy(backend)
        }
    }
}

/// Counts calls and cost per day, and admits them.
///
/// # Contract
/// - [`reserve`](Self::reserve) compares and counts in one atomic step: however many tasks, processes
///   and replicas reserve at once, settled and reserved calls never exceed a cap, and neither does
///   their cost, with reserved calls at what they reserve.
/// - A lease ends in exactly one of three ways: settled, released, or expired into a row.
/// - Every call may be repeated: a lease and its row are identified by their id, which names one
///   call. The table of [`LedgerBatch`](super::LedgerBatch) says what each call does in each state.
/// - A lease counts for the day it was made, whenever it ends.
#[async_trait]
pub trait UsageCounter: Send + Sync {
    /// Admits a call and counts it as reserved, or refuses it. A repeated reservation is admitted
    /// again and counts once. If this future is cancelled or fails, the lease may be open: release
    /// it, or it expires.
    async fn reserve(&self, lease: &Lease, caps: &Caps) -> Result<Admission>;

    /// Ends a lease in its ledger row, which has the same id. The row is durable on return, and
    /// written once however often this is repeated. Without a lease the row is written as well, and
    /// it replaces that of an expired lease.
    async fn settle(&self, row: &UsageRow) -> Result<()>;

    /// Ends a lease whose call was not made. Does nothing if the lease has ended.
    async fn release(&self, lease_id: Uuid) -> Result<()>;

    /// Turns leases that expired before `now` into rows, and returns how many. A call may handle
    /// only a part of them.
    async fn expire(&self, now: Timestamp) -> Result<u64>;

    /// What a day has used and reserved.
    async fn day_use(&self, day: Date) -> Result<DayUse>;

    /// What was used and reserved of budgets. Uses of which nothing was may be left out.
    async fn budget_uses(&self, keys: &[UseKey]) -> Result<BTreeMap<UseKey, BudgetUse>>;

    /// The health of the counter.
    fn health(&self) -> CounterStatus;

    /// Stops counting in this process. Without it, the other processes keep its allotment reserved
    /// for a while, as after a crash.
    async fn close(&self) {}
}

/// A store that counts calls, and holds the counter's epoch and the budgets.
pub trait CountingStore: UsageCounter + CounterEpochStore + BudgetStore {}

impl<S: UsageCounter + CounterEpochStore + BudgetStore + ?Sized> CountingStore for S {}
