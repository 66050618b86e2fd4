//! The till: reserves before a call and books after it, until the ledger has it.
//!
//! A row that the ledger does not take is kept and tried again, with the same id, for as long as
//! the process lives; so is a release. What is kept is bounded by slots: each call takes one before
//! it is reserved and gives it back when it is booked, and without a slot no call is made. If the
//! process dies, the lease expires into a row with the reserved cost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tracing::{debug, info, warn};
use uuid::Uuid;

use crate::usage::{Admission, Caps, Lease, UsageCounter, UsageRow};
use crate::{Clock, Error, Result};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

pub(super) struct Till {
    counter: Arc<dyn UsageCounter>,
    clock: Arc<dyn Clock>,
    patience: Duration,
    slots: Arc<Semaphore>,
    most: usize,
    /// Ends that the counter has refused at least once.
    late: AtomicUsize,
    /// Attempts from before their reservation until the provider is done.
    in_flight: AtomicUsize,
}

/// Room for one unbooked end.
pub(super) struct Slot(#[expect(dead_code, reason = "held")] OwnedSemaphorePermit);

/// How a lease ends.
pub(super) enum End {
    Settle(Box<UsageRow>),
    Release(Uuid),
}

impl Till {
    pub(super) fn new(
        counter: Arc<dyn UsageCounter>,
        clock: Arc<dyn Clock>,
        patience: Duration,
        most: usize,
    ) -> Self {
        let most = most.clamp(1, Semaphore::MAX_PERMITS);
        let slots = Arc::new(Semaphore::new(most));
        let (late, in_flight) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { counter, clock, patience, slots, most, late, in_flight }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Room for a call; none while so many are unbooked.
    pub(super) fn slot(&self) -> Option<Slot> {
        Arc::clone(&self.slots).try_acquire_owned().ok().map(Slot)
    }

    /// Calls and ends that are not booked.
    pub(super) fn unbooked(&self) -> usize {
        self.most.saturating_sub(self.slots.available_permits())
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// Counts an attempt as in flight until the guard is dropped.
    pub(super) fn takes_off(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        InFlight(Arc::clone(self))
    }

    /// Waits until everything is booked; how much is not, if that takes longer.
    pub(super) async fn flush(&self, patience: Duration) -> Result<(), usize> {
        let all = u32::try_from(self.most).unwrap_or(u32::MAX);
        match timeout(patience, self.slots.acquire_many(all)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(self.unbooked()),
        }
    }

    /// # Errors
    /// Of the counter, or that it did not answer in time: the lease may exist and is to be released.
    pub(super) async fn reserve(&self, lease: &Lease, caps: &Caps) -> Result<Admission> {
        self.within(self.counter.reserve(lease, caps)).await
    }

    /// Tries once.
    pub(super) async fn book(&self, end: &End) -> Result<()> {
        match end {
            End::Settle(row) => self.within(self.counter.settle(row)).await,
            End::Release(id) => self.within(self.counter.release(*id)).await,
        }
    }

    /// Tries again until the counter has it; `slot` is kept until then.
    pub(super) async fn insist(&self, end: End, failed: Error, slot: Slot) {
        let id = end.id();
        if self.late.fetch_add(1, Ordering::Relaxed) == 0 {
            warn!(%id, error = %failed, "the ledger is away; calls are booked later");
        }
        let mut pause = FIRST_PAUSE;
        loop {
            tokio::time::sleep(pause).await;
            let Err(error) = self.book(&end).await else { break };
            if error.is_retryable() {
                debug!(%id, %error, "still not booked");
            } else {
                warn!(%id, %error, "the ledger refuses a call; it is tried again");
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        if self.late.fetch_sub(1, Ordering::Relaxed) == 1 {
            info!("the ledger has every call");
        }
        drop(slot);
    }

    async fn within<T>(&self, asking: impl Future<Output = Result<T>>) -> Result<T> {
        let away = || Error::unavailable("the usage counter does not answer");
        timeout(self.patience, asking).await.unwrap_or_else(|_| Err(away()))
    }
}

impl End {
    fn id(&self) -> Uuid {
        match self {
            Self::Settle(row) => row.id,
            Self::Release(id) => *id,
        }
    }
}

/// An attempt in flight.
pub(super) struct InFlight(Arc<Till>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}
