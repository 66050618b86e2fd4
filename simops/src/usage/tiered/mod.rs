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

/// Who needs the fence to settle waits so long before giving up.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(10);
/// A process that leaves waits so long for Redis to know of its ends; what it does not know then, it
/// counts until the lease is over.
const LAST_WORD: Duration = Duration::from_secs(1);

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
        self.shared.ended(row.id, Some(row.day)).await;
        Ok(())
    }

    async fn release(&self, lease_id: Uuid) -> Result<()> {
        self.shared.give_up(lease_id).await?;
        self.shared.ended(lease_id, None).await;
        Ok(())
    }

    async fn expire(&self, now: Timestamp) -> Result<u64> {
        let mut expired = self.shared.store.expire(now).await?;
        // Of a place that does not stand, nothing is believed.
        let place = self.shared.place().filter(|place| self.shared.stands(place));
        let Some(place) = place else { return Ok(expired) };
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
            self.shared.ended(lease.id, Some(lease.day)).await;
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
        self.shared.tell_the_rest().await;
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
                    self.forget_earlier_end(lease.id).await?;
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
                    verdict => {
                        if let Ok(Admission::Admitted { .. }) = verdict {
                            // What Redis is built up with from now on is this lease.
                            self.local().told(lease.id);
                        }
                        return verdict;
                    }
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
            Ok(Said::Verdict(_)) => {
                self.give_up(lease.id).await?;
                // Redis may go on counting, and counts it.
                self.ended(lease.id, None).await;
            }
            Ok(Said::UnknownDay) => {
                self.give_up(lease.id).await?;
                self.tell_day(lease.day).await;
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
        let handed_over = {
            let _nothing_is_handed_over = self.confirming.lock().await;
            let handed_over = self.local().close(id);
            // Also in the database: it may have been handed over, or admitted there.
            self.store.release(id).await?;
            handed_over
        };
        if handed_over {
            // Redis may have been built up with it, also if it had refused it before.
            self.ended(id, None).await;
        }
        Ok(())
    }

    /// A lease that is given up on the way to a verdict is asked for again under the same id, and
    /// must not be ended by what Redis is told of the first time.
    async fn forget_earlier_end(&self, id: Uuid) -> Result<()> {
        let (is_untold, may_end_late) = {
            let local = self.local();
            (local.is_untold(id), local.may_end_late(id))
        };
        if is_untold && (may_end_late || !self.tell_end(id, None).await) {
            self.give_up(id).await?;
            return Err(Error::unavailable("Redis does not know yet that this lease was given up"));
        }
        Ok(())
    }

    /// A lease has ended in the database: tells Redis, now or when it counts again.
    async fn ended(&self, lease: Uuid, day: Option<Date>) {
        self.local().end(lease);
        self.tell_end(lease, day).await;
    }

    /// Tells Redis of the ends that it could not be told of.
    async fn tell_untold(&self) {
        let untold = self.local().untold();
        for lease in untold {
            self.tell_end(lease, None).await;
        }
    }

    /// Tells Redis of an end; whether it knows.
    async fn tell_end(&self, lease: Uuid, day: Option<Date>) -> bool {
        let Some(place) = self.local().begin_to_tell(lease) else { return false };
        let mut telling = Telling { shared: self, lease, is_told: false };
        telling.is_told = self.tell(&place, Some(lease), day).await;
        telling.is_told
    }

    /// Tells Redis, once it counts, of the ends that this process will be asked about no more.
    async fn tell_the_rest(&self) {
        let began = Instant::now();
        while !self.local().untold().is_empty() && began.elapsed() < LAST_WORD {
            if self.confirm(None).await.is_ok() {
                self.tell_untold().await;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Tells Redis what a day has used.
    async fn tell_day(&self, day: Date) {
        if let Some(place) = self.place() {
            self.tell(&place, None, Some(day)).await;
        }
    }

    /// Tells Redis of an end and of a day; whether it knows now. What it does not know yet costs a
    /// little room.
    async fn tell(&self, place: &Place, lease: Option<Uuid>, day: Option<Date>) -> bool {
        let told = async {
            let day_use = match day {
                Some(day) => Some((day, self.store.day_use(day).await?)),
                None => None,
            };
            let day = day_use.as_ref().map(|(day, day_use)| (*day, day_use));
            self.redis.book(place, lease, day).await
        };
        told.await.unwrap_or_else(|error| {
            debug!(%error, "Redis does not know of an end");
            false
        })
    }
}

/// An end on its way to Redis.
struct Telling<'s> {
    shared: &'s Shared,
    lease: Uuid,
    is_told: bool,
}

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        let mut local = self.shared.local();
        if self.is_told { local.told(self.lease) } else { local.not_told(self.lease) }
    }
}
