//! Where calls are counted: the fence, and the processes that count in Redis.

use async_trait::async_trait;
use uuid::Uuid;

use crate::Result;
use crate::usage::{Fence, Lease, Member};

/// The fence of [`crate::usage::fence`], and its members.
#[async_trait]
pub trait FenceStore: Send + Sync {
    /// The fence.
    async fn fence(&self) -> Result<Fence>;

    /// Moves the fence from `from`, a generation, to `to`. False when it has moved meanwhile.
    /// Moves the watched revision.
    async fn move_fence(&self, from: u64, to: &Fence) -> Result<bool>;

    /// Writes down `member` in the place of what it said before, and its open leases beside those
    /// of the database, except what has ended in a row. The fence, as of that moment.
    async fn confirm(&self, member: &Member, open: &[Lease]) -> Result<Fence>;

    /// Forgets a member that holds no leases any more.
    async fn forget_member(&self, id: Uuid) -> Result<()>;

    /// All members, by id, and those that are long over.
    async fn members(&self) -> Result<Vec<Member>>;
}
