//! Calls counted in Redis, and in the database whenever Redis cannot be believed.
//!
//! The mechanism is told in [`super::fence`]. This counter is one member of it: it asks Redis while
//! the database has confirmed the fence lately, writes every end to the ledger first and tells
//! Redis afterwards, and falls back as soon as Redis fails, by moving the fence. Its keeper (one
//! task per process) keeps confirming, and builds Redis up again from the ledger once it answers.
//!
//! # Bounds
//! - No cap is crossed, whatever happens to Redis and in whichever order processes notice.
//! - A process that dies while it holds leases that only Redis knew, and Redis loses them at the
//!   same time, leaves calls without a row: nobody is left who knows them. What it had promised is
//!   kept back until the last of them must be over.

mod keeper;
mod local;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;
use tokio::task::JoinHandle;
use tracing::debug;
use uuid::Uuid;

use super::redis::{Address, Place, RedisTill, Said};
use super::{Admission, Caps, Counter, CountingStore, DayUse, Lease, UsageCounter, UsageRow};
use crate::{Clock, Error, ErrorKind, Result};
use local::{Ask, Local};

/// A reservation waits so long for the fence to settle before it fails.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(10);

/// A counter in Redis that falls back to the database. Dropping it ends its keeper; its leases live
/// on until they expire.
pub struct TieredCounter {
    shared: Arc<Shared>,
    keeper: JoinHandle<()>,
}

struct Shared {
    store: Arc<dyn CountingStore>,
    clock: Arc<dyn Clock>,
    redis: RedisTill,
    /// This process, as a member.
    id: Uuid,
    local: Mutex<Local>,
    /// Held while leases are handed over, so that none is that was just given up.
    confirming: tokio::sync::Mutex<()>,
}

impl TieredCounter {
    /// A counter in the Redis at `url` over `store`. When Redis cannot be reached, calls are counted
    /// in the store until it can. Needs a tokio runtime.
    ///
    /// # Errors
    /// `Invalid` when `url` is none, without repeating it; of the store.
    pub async fn start(
        store: Arc<dyn CountingStore>,
        url: &str,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let address = Address::parse(url)?;
        let fence = store.fence().await?;
        let redis = RedisTill::new(address, &fence.namespace);
        let local = Mutex::new(Local::new(fence));
        let id = Uuid::now_v7();
        let confirming = tokio::sync::Mutex::default();
        let shared = Arc::new(Shared { store, clock, redis, id, local, confirming });
        let mut keeper = keeper::Keeper::new(Arc::clone(&shared));
        // Once before the first call, so that it finds Redis, or knows that it is away.
        keeper.begin().await?;
        Ok(Self { shared, keeper: tokio::spawn(keeper.run()) })
    }

    /// Where Redis is, without secrets.
    pub fn address(&self) -> &str {
        self.shared.redis.address()
    }
}

impl Drop for TieredCounter {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

#[async_trait]
impl UsageCounter for TieredCounter {
    async fn reserve(&self, lease: &Lease, caps: &Caps) -> Result<Admission> {
        self.shared.reserve(lease, caps).await
    }

    async fn settle(&self, row: &UsageRow) -> Result<()> {
        // The ledger first: a lease that Redis still counts is only too careful.
        self.shared.store.settle(row).await?;
        self.shared.local().close(row.id);
        self.shared.tell(Some(row.id), Some(row.day)).await;
        Ok(())
    }

    async fn release(&self, lease_id: Uuid) -> Result<()> {
        self.shared.give_up(lease_id).await?;
        self.shared.tell(Some(lease_id), None).await;
        Ok(())
    }

    async fn expire(&self, now: Timestamp) -> Result<u64> {
        let mut expired = self.shared.store.expire(now).await?;
        let Some(place) = self.shared.place() else { return Ok(expired) };
        let due = match self.shared.redis.due(&place, now).await {
            Ok(due) => due.unwrap_or_default(),
            Err(error) => {
                // The keeper sees it, too, and falls back.
                debug!(%error, "Redis cannot say which leases are over");
                Vec::new()
            }
        };
        for lease in due {
            self.shared.store.settle(&lease.expired(now)).await?;
            self.shared.local().close(lease.id);
            self.shared.tell(Some(lease.id), Some(lease.day)).await;
            expired += 1;
        }
        Ok(expired)
    }

    async fn day_use(&self, day: Date) -> Result<DayUse> {
        let kept = self.shared.store.day_use(day).await?;
        let Some(place) = self.shared.place() else { return Ok(kept) };
        match self.shared.redis.day_use(&place, day).await {
            // What is settled is the ledger's to say, what is in flight is Redis's.
            Ok(Some(counted)) => Ok(DayUse { reserved: counted.reserved, ..kept }),
            _ => Ok(kept),
        }
    }

    fn health(&self) -> Counter {
        Counter::of(&self.shared.local().fence, &self.shared.store.health().backend)
    }

    async fn close(&self) {
        self.keeper.abort();
        let _nothing_is_confirmed = self.shared.confirming.lock().await;
        // A lease that is still open keeps this process a member until it is over.
        let is_empty = self.shared.local().leave();
        if is_empty && let Err(error) = self.shared.store.forget_member(self.shared.id).await {
            debug!(%error, "not left; the member will lapse");
        }
    }
}

impl Shared {
    fn local(&self) -> MutexGuard<'_, Local> {
        self.local.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self) -> Option<Place> {
        self.local().place()
    }

    async fn reserve(&self, lease: &Lease, caps: &Caps) -> Result<Admission> {
        let began = Instant::now();
        loop {
            let ask = self.local().ask(lease);
            match ask {
                Ask::Redis(place) => {
                    if let Some(verdict) = self.ask_redis(&place, lease, caps).await? {
                        return Ok(verdict);
                    }
                }
                Ask::Confirm => self.confirm(Some(lease)).await?,
                Ask::Database => match self.store.reserve(lease, caps).await {
                    Err(error) if error.kind() == ErrorKind::Stale => {
                        self.confirm(None).await?;
                        tokio::time::sleep(PAUSE).await;
                    }
                    verdict => return verdict,
                },
            }
            if began.elapsed() > PATIENCE {
                return Err(Error::unavailable("where calls are counted is not settled"));
            }
        }
    }

    /// The verdict of Redis; none when it has none that can be believed.
    async fn ask_redis(
        &self,
        place: &Place,
        lease: &Lease,
        caps: &Caps,
    ) -> Result<Option<Admission>> {
        // Dropped here, the lease stays open until it expires: it may be counted.
        match self.redis.reserve(place, lease, caps).await {
            // An answer that took too long is as good as none: others may count elsewhere by now.
            Ok(Said::Verdict(verdict @ Admission::Admitted { .. })) if self.stands(place) => {
                return Ok(Some(verdict));
            }
            Ok(Said::Verdict(verdict @ Admission::Refused { .. })) if self.stands(place) => {
                self.give_up(lease.id).await?;
                return Ok(Some(verdict));
            }
            Ok(Said::Verdict(_)) => self.give_up(lease.id).await?,
            Ok(Said::UnknownDay) => {
                self.give_up(lease.id).await?;
                self.tell(None, Some(lease.day)).await;
            }
            Ok(Said::Fenced) => {
                self.give_up(lease.id).await?;
                let address = self.redis.address();
                let why = format!("Redis at {address} was emptied, or put back to an older state");
                self.fall_back(place, &why).await?;
            }
            Err(error) => {
                self.give_up(lease.id).await?;
                self.fall_back(place, error.detail()).await?;
            }
        }
        Ok(None)
    }

    /// Whether calls are still counted in `place`, as far as this process may know.
    fn stands(&self, place: &Place) -> bool {
        let local = self.local();
        local.is_fresh() && local.place().as_ref() == Some(place)
    }

    /// Takes back a lease of a call that is not made.
    async fn give_up(&self, id: Uuid) -> Result<()> {
        let _nothing_is_handed_over = self.confirming.lock().await;
        self.local().close(id);
        // Also in the database: it may have been handed over, or admitted there.
        self.store.release(id).await
    }

    /// Tells Redis of an end and of a day. What it is not told costs a little room until the keeper
    /// tells it, or the lease expires.
    async fn tell(&self, lease: Option<Uuid>, day: Option<Date>) {
        let Some(place) = self.place() else { return };
        let told = async {
            let day_use = match day {
                Some(day) => Some((day, self.store.day_use(day).await?)),
                None => None,
            };
            let day = day_use.as_ref().map(|(day, day_use)| (*day, day_use));
            self.redis.book(&place, lease, day).await
        };
        if let Err(error) = told.await {
            debug!(%error, "Redis does not know of an end");
        }
    }
}
