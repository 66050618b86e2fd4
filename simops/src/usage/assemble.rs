//! The counter of a deployment: in Redis when it has one, otherwise in its database.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;
use tracing::info;
use uuid::Uuid;

use super::{
    Admission, Caps, CountedIn, Counter, CountingStore, DayUse, Lease, UsageCounter, UsageRow,
};
use crate::{Clock, ErrorKind, Result};

/// The counter over `store`: in the Redis at `redis_url`, or in the store itself. Needs a tokio
/// runtime.
///
/// # Errors
/// `Invalid` when the URL is none, or this build knows no Redis; of the store.
pub async fn counter(
    store: Arc<dyn CountingStore>,
    redis_url: Option<&str>,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn UsageCounter>> {
    match redis_url {
        #[cfg(feature = "redis")]
        Some(url) => Ok(Arc::new(super::tiered::TieredCounter::start(store, url, clock).await?)),
        #[cfg(not(feature = "redis"))]
        Some(_) => {
            Err(crate::Error::invalid("REDIS_URL", "this build has no Redis (feature redis)"))
        }
        None => {
            let counter = InDatabase { store, clock };
            counter.take_back().await?;
            Ok(Arc::new(counter))
        }
    }
}

/// A store that counts without Redis, also where there was one before.
struct InDatabase {
    store: Arc<dyn CountingStore>,
    clock: Arc<dyn Clock>,
}

impl InDatabase {
    /// Counts here again once no process is left that may count in Redis; whether calls are.
    async fn take_back(&self) -> Result<bool> {
        let fence = self.store.fence().await?;
        if fence.counted_in == CountedIn::Database && fence.reason.is_none() {
            return Ok(true);
        }
        let now = self.clock.now();
        if self.store.members().await?.iter().any(|member| member.until > now) {
            return Ok(false);
        }
        let here = fence.moved(CountedIn::Database, now);
        if self.store.move_fence(fence.generation, &here).await? {
            info!("calls are counted in the database; no process counts in Redis any more");
        }
        Ok(true)
    }
}

#[async_trait]
impl UsageCounter for InDatabase {
    async fn reserve(&self, lease: &Lease, caps: &Caps) -> Result<Admission> {
        match self.store.reserve(lease, caps).await {
            Err(error) if error.kind() == ErrorKind::Stale && self.take_back().await? => {
                self.store.reserve(lease, caps).await
            }
            verdict => verdict,
        }
    }

    async fn settle(&self, row: &UsageRow) -> Result<()> {
        self.store.settle(row).await
    }

    async fn release(&self, lease_id: Uuid) -> Result<()> {
        self.store.release(lease_id).await
    }

    async fn expire(&self, now: Timestamp) -> Result<u64> {
        self.store.expire(now).await
    }

    async fn day_use(&self, day: Date) -> Result<DayUse> {
        self.store.day_use(day).await
    }

    fn health(&self) -> Counter {
        self.store.health()
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::testing::{ManualClock, MemoryStore};
    use crate::usage::{DayTotals, FenceStore, Member, NanoUsd};

    #[tokio::test]
    async fn calls_come_back_once_nobody_counts_in_redis() -> Result<()> {
        let store = Arc::new(MemoryStore::new());
        let clock =
            Arc::new(ManualClock::at(Timestamp::from_second(1_000_000).unwrap_or_default()));
        let now = clock.now();
        let fence = store.fence().await?;
        store.move_fence(0, &fence.moved(CountedIn::Redis, now)).await?;
        let promise = DayTotals::default();
        let until = now + std::time::Duration::from_secs(5);
        store.confirm(&Member { id: Uuid::now_v7(), generation: 1, promise, until }, &[]).await?;

        let counter = counter(store.clone(), None, clock.clone()).await?;
        let lease = Lease {
            id: Uuid::now_v7(),
            day: crate::clock::day_of(now),
            run_id: None,
            agent_id: None,
            checkpoint: None,
            provider: "groq".to_owned(),
            model: "m".to_owned(),
            upper_bound: NanoUsd(1),
            priced: true,
            created_at: now,
            expires_at: now,
        };
        let stale = counter.reserve(&lease, &Caps::default()).await;
        assert!(stale.is_err_and(|error| error.kind() == ErrorKind::Stale));
        clock.advance(jiff::SignedDuration::from_secs(6));
        let admitted = counter.reserve(&lease, &Caps::default()).await?;
        assert_eq!(admitted, Admission::Admitted { degraded: false });
        assert_eq!(store.fence().await?.counted_in, CountedIn::Database);
        Ok(())
    }
}
