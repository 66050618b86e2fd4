//! Admission and counting in one step: what every counter promises.

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Admission, Caps, CountedIn, DayUse, Fence, Lease, UsageRow};
use crate::Result;

/// How a counter is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Counter {
    /// Where calls are counted now: `sqlite`, `postgres`, `memory` or `redis`.
    pub backend: String,
    /// Whether another backend stands in for the one configured.
    pub degraded: bool,
    /// Since when.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub since: Option<Timestamp>,
    /// Why; names no secret.
    pub last_error: Option<String>,
}

impl Counter {
    /// A counter in order.
    pub fn healthy(backend: &str) -> Self {
        Self { backend: backend.to_owned(), degraded: false, since: None, last_error: None }
    }

    /// As the fence of a store says; `backend` is the store.
    pub fn of(fence: &Fence, backend: &str) -> Self {
        let backend = if fence.counted_in == CountedIn::Redis { "redis" } else { backend };
        let degraded = fence.reason.is_some();
        Self {
            degraded,
            since: Some(fence.since).filter(|_| degraded),
            last_error: fence.reason.clone(),
            ..Self::healthy(backend)
        }
    }
}

/// Counts calls and cost per day, and admits them.
///
/// # Contract
/// - [`reserve`](Self::reserve) compares and counts in one atomic step: however many tasks, processes
///   and replicas reserve at once, settled and reserved calls never exceed a cap, and neither does
///   their cost, taken at the upper bounds.
/// - A lease ends in exactly one of three ways: settled, released, or expired into a row. A row
///   that settles after its lease expired replaces the expired row.
/// - Every call may be repeated: a lease and its row are known by their id.
/// - A lease counts for the day it was made, whenever it ends.
#[async_trait]
pub trait UsageCounter: Send + Sync {
    /// Admits a call and counts it as reserved, or refuses it. Repeating an admitted reservation
    /// is admitted again and counts once. A call that was cancelled or failed may have left a
    /// lease behind: it expires.
    async fn reserve(&self, lease: &Lease, caps: &Caps) -> Result<Admission>;

    /// Ends a lease in its ledger row: the row's id is the lease's. Durable on return; written once
    /// however often it is repeated. Without a lease (it expired, or was never known) the row is
    /// written all the same, and replaces an expired one.
    async fn settle(&self, row: &UsageRow) -> Result<()>;

    /// Ends a lease whose call was never made. Nothing happens if it has ended.
    async fn release(&self, lease_id: Uuid) -> Result<()>;

    /// Turns leases that expired before `now` into rows; how many.
    async fn expire(&self, now: Timestamp) -> Result<u64>;

    /// What a day has used and reserved.
    async fn day_use(&self, day: Date) -> Result<DayUse>;

    /// How the counter is.
    fn health(&self) -> Counter;

    /// Says that this process counts no more. Without it the others are careful for a while, as
    /// after a crash.
    async fn close(&self) {}
}
