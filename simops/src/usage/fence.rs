//! Who counts: the database, or Redis as long as the database says so.
//!
//! Redis is fast and forgets. So the database keeps a *fence*: where calls are counted, and a
//! generation that every move raises. Redis is believed only while it holds the fence's
//! generation, and a process uses it only as a *member* that the database has heard of lately.
//!
//! A member holds leases that only Redis and the member itself know. Should Redis be lost, the
//! fence moves to the database at once, and each member hands its leases over as soon as it sees
//! that. Until it has, it counts as if it held all that it *promised* never to exceed: so the
//! database can go on admitting without waiting for anybody, and no cap is crossed. A member that
//! is never heard of again counts until the last of its leases is over.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{DayTotals, Lease, UsageCounter};
use crate::{Error, Result};

/// Where calls are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CountedIn {
    /// In the database.
    Database,
    /// Nowhere for a moment: Redis is being built up from the ledger.
    Rebuilding,
    /// In Redis.
    Redis,
}

/// Where calls are counted, and since which move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// Counts the moves.
    pub generation: u64,
    /// Where calls are counted.
    pub counted_in: CountedIn,
    /// Names the keys in Redis, so that deployments can share one; never changes.
    pub namespace: String,
    /// Which Redis: another process, or a replica that took over, is another one.
    pub redis: Option<String>,
    /// When it moved last.
    pub since: Timestamp,
    /// Why the database stands in for Redis; none when it does not. Names no secret.
    pub reason: Option<String>,
}

/// A process that counts in Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub id: Uuid,
    /// The generation that it acts on.
    pub generation: u64,
    /// What its open leases never exceed before it says so here.
    pub promise: DayTotals,
    /// When the last of its leases is over, should it never be heard of again.
    pub until: Timestamp,
}

/// How long a member may use Redis without hearing from the database.
pub const MEMBER_VALID: Duration = Duration::from_secs(5);

impl Fence {
    /// The fence after a move.
    #[must_use]
    pub fn moved(&self, counted_in: CountedIn, since: Timestamp) -> Self {
        Self {
            generation: self.generation + 1,
            counted_in,
            namespace: self.namespace.clone(),
            redis: None,
            since,
            reason: None,
        }
    }

    /// Whether the database may admit calls.
    ///
    /// # Errors
    /// `Stale` while it may not.
    pub fn check_counted_in_database(&self) -> Result<()> {
        match self.counted_in {
            CountedIn::Database => Ok(()),
            CountedIn::Rebuilding => Err(Error::stale("Redis is being built up from the ledger")),
            CountedIn::Redis => {
                Err(Error::stale("calls are counted in Redis; set REDIS_URL for this process, too"))
            }
        }
    }

    /// Whether `member` may still hold leases that only Redis knows.
    pub fn is_behind(&self, member: &Member, now: Timestamp) -> bool {
        member.generation < self.generation && member.until > now
    }

    /// What members that are behind may hold at most.
    pub fn promised<'m>(
        &self,
        members: impl IntoIterator<Item = &'m Member>,
        now: Timestamp,
    ) -> DayTotals {
        let behind = members.into_iter().filter(|member| self.is_behind(member, now));
        behind.map(|member| member.promise).sum()
    }
}

/// Keeps the fence and its members.
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

    /// All members by id, those that are long over, too.
    async fn members(&self) -> Result<Vec<Member>>;

    /// The open leases that the database knows, by id.
    async fn open_leases(&self) -> Result<Vec<Lease>>;
}

/// A store that counts, and says who does.
pub trait CountingStore: UsageCounter + FenceStore {}

impl<S: UsageCounter + FenceStore + ?Sized> CountingStore for S {}
