//! Duties: what one process at a time does for all, such as timers and deliveries.

use async_trait::async_trait;
use uuid::Uuid;

use crate::Result;

/// Who has a duty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderLease {
    /// The duty's name.
    pub duty: String,
    /// The process that has it; `None` after it was given up.
    pub holder: Option<Uuid>,
    /// Counts the holders. Work stamped with a smaller number than this is a former holder's.
    pub fence: u64,
    /// Counts the holder's signs of life.
    pub beat: u64,
}

impl LeaderLease {
    /// What fences work done under this tenure.
    pub fn stamp(&self) -> FencingToken {
        FencingToken { duty: self.duty.clone(), fence: self.fence }
    }
}

/// Under which tenure something is done: a write that carries it is refused once another process
/// has the duty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FencingToken {
    /// The duty.
    pub duty: String,
    /// The fencing number.
    pub fence: u64,
}

/// Duties. When a tenure is over is decided by [`crate::jobs`], not here.
#[async_trait]
pub trait LeaderLeaseStore: Send + Sync {
    /// Who has a duty; `None` before anybody had it.
    async fn tenure(&self, duty: &str) -> Result<Option<LeaderLease>>;

    /// Replaces the tenure of `next.duty` by `next` if it equals `seen` now; whether it did. A
    /// repetition of what was done is false: read again to see.
    async fn replace_leader_lease(
        &self,
        seen: Option<&LeaderLease>,
        next: &LeaderLease,
    ) -> Result<bool>;
}
