//! Opens the counter of a deployment: in Redis if one is configured, otherwise in its database.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;
use tracing::info;
use uuid::Uuid;

use super::{
    Admission, BudgetUse, Caps, CounterBackend, CounterStatus, CountingStore, DayUse, Lease,
    UsageCounter, UsageRow, UseKey,
};
use crate::{Clock, ErrorKind, Result};

/// The counter over `store`: in the Redis at `redis_url`, or in the store itself. Needs a tokio
/// runtime.
///
/// # Errors
/// `Invalid` if `redis_url` is not the URL of a Redis, or if this build lacks the feature `redis`.
/// Otherwise the errors of the store.
pub async fn counter(
    store: Arc<dyn CountingStore>,
    redis_url: Option<&str>,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn UsageCounter>> {
    match redis_url {
        #[cfg(feature = "redis")]
        Some(url) => Ok(Arc::new(super::tiered::TieredCounter::start(store, url, clock).await?)),
        #[cfg(not(feature = "redis"))]
        Some(_) => Err(crate::Error::invalid(
            "REDIS_URL",
            "is set, but this build lacks the feature redis",
        )),
        None => {
            let counter = InDatabase { store, clock };
            counter.take_over().await?;
            Ok(Arc::new(counter))
        }
    }
}

/// A store that counts without Redis, also after another process has counted in Redis.
struct InDatabase {
    store: Arc<dyn CountingStore>,
    clock: Arc<dyn Clock>,
}

impl InDatabase {
    /// Makes the database count if no client that may count in Redis is left. Returns whether it
    /// counts.
    async fn take_over(&self) -> Result<bool> {
        let epoch = self.store.counter_epoch().await?;
        if epoch.backend == CounterBackend::Database && epoch.reason.is_none() {
            return Ok(true);
        }
        let now = self.clock.now();
        if self.store.counter_clients().await?.iter().any(|client| client.until > now) {
            return Ok(false);
        }
        let next = epoch.next(CounterBackend::Database, now);
        if self.store.advance_counter_epoch(epoch.generation, &next).await? {
            info!("the database counts calls; no process counts in Redis any more");
        }
        Ok(true)
    }
}

#[async_trait]
impl UsageCounter for InDatabase {
    async fn reserve(&self, lease: &Lease, caps: &Caps) -> Result<Admission> {
        match self.store.reserve(lease, caps).await {
            Err(error) if error.kind() == ErrorKind::Stale && self.take_over().await? => {
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

    async fn budget_uses(&self, keys: &[UseKey]) -> Result<BTreeMap<UseKey, BudgetUse>> {
        self.store.budget_uses(keys).await
    }

    fn health(&self) -> CounterStatus {
        self.store.health()
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::testing::{ManualClock, MemoryStore};
    use crate::usage::{Allotment, CounterClient, CounterEpochStore, NanoUsd};

    #[tokio::test]
    async fn the_database_counts_once_no_client_of_redis_is_left() -> Result<()> {
        let store = Arc::new(MemoryStore::new());
        let clock =
            Arc::new(ManualClock::at(Timestamp::from_second(1_000_000).unwrap_or_default()));
        let now = clock.now();
        let epoch = store.counter_epoch().await?;
        store.advance_counter_epoch(0, &epoch.next(CounterBackend::Redis, now)).await?;
        let (allotment, sequence) = (Allotment::default(), 1);
        let until = now + std::time::Duration::from_secs(5);
        store
            .heartbeat(
                &CounterClient { id: Uuid::now_v7(), generation: 1, allotment, until, sequence },
                &[],
            )
            .await?;

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
            input_tokens: 10,
            output_tokens: 5,
        };
        let stale = counter.reserve(&lease, &Caps::default()).await;
        assert!(stale.is_err_and(|error| error.kind() == ErrorKind::Stale));
        clock.advance(jiff::SignedDuration::from_secs(6));
        let admitted = counter.reserve(&lease, &Caps::default()).await?;
        assert_eq!(admitted, Admission::Admitted { degraded: false });
        assert_eq!(store.counter_epoch().await?.backend, CounterBackend::Database);
        Ok(())
    }
}
