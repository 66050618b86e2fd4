//! Leader leases: of all processes that share a store, the holder of a timer's lease alone runs it.

use async_trait::async_trait;
use uuid::Uuid;

use crate::Result;

/// One row of the store: which process runs a timer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderLease {
    /// The lease's name.
    pub name: String,
    /// The process that holds the lease; `None` after a release.
    pub holder: Option<Uuid>,
    /// The fencing number. Each new holder increments it; a write that carries a smaller number
    /// comes from a former holder.
    pub fence: u64,
    /// How often the holder has renewed the lease.
    pub renewals: u64,
}

impl LeaderLease {
    /// The token that this holder's writes carry.
    pub fn fencing_token(&self) -> FencingToken {
        FencingToken { lease: self.name.clone(), fence: self.fence }
    }
}

/// Proof of leadership. A store refuses a write whose token is no longer the newest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FencingToken {
    /// The name of the lease.
    pub lease: String,
    /// The fencing number under which the holder acquired it.
    pub fence: u64,
}

/// Storage of leader leases.
///
/// # Contract
/// The store only compares and replaces rows; [`crate::jobs`] decides when a lease is lost and may be
/// acquired. Each process measures with its own clock how long the row has not changed, so clocks of
/// different machines are never compared.
#[async_trait]
pub trait LeaderLeaseStore: Send + Sync {
    /// Reads a lease; `None` if it was never acquired.
    async fn leader_lease(&self, name: &str) -> Result<Option<LeaderLease>>;

    /// Compare-and-set: stores `next` if the stored lease of that name equals `seen`. Returns
    /// whether it did. Repeating a call that succeeded returns false; read the lease to find out
    /// who holds it.
    async fn replace_leader_lease(
        &self,
        seen: Option<&LeaderLease>,
        next: &LeaderLease,
    ) -> Result<bool>;
}
