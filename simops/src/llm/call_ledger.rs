//! The ledger of calls in flight: reserves before a call, and settles or releases after it.
//!
//! A write that the usage counter does not take is kept in memory and retried with the same id for
//! as long as the process lives. Permits bound how many writes are kept: each call takes one before
//! it is reserved and returns it once its result is recorded; without a permit no call is made. If
//! the process dies, the lease expires into a row that costs the reserved amount.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tracing::{debug, info, warn};
use uuid::Uuid;

use crate::usage::{Admission, Caps, Lease, UsageCounter, UsageRow};
use crate::{Clock, Error, Result};

const MIN_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(10);

pub(super) struct CallLedger {
    counter: Arc<dyn UsageCounter>,
    clock: Arc<dyn Clock>,
    counter_timeout: Duration,
    permits: Arc<Semaphore>,
    max_pending: usize,
    /// Writes that failed at least once and are being retried.
    retrying: AtomicUsize,
    /// Attempts from just before their reservation until the provider is done.
    in_flight: AtomicUsize,
    /// Notified when a lease has ended, which may make room in a budget.
    room: Notify,
}

/// Memory for one call whose result is not recorded yet.
pub(super) struct PendingPermit(#[expect(dead_code, reason = "held")] OwnedSemaphorePermit);

/// What ends a lease.
pub(super) enum LeaseEnd {
    Settle(Box<UsageRow>),
    Release(Uuid),
}

impl CallLedger {
    pub(super) fn new(
        counter: Arc<dyn UsageCounter>,
        clock: Arc<dyn Clock>,
        counter_timeout: Duration,
        max_pending: usize,
    ) -> Self {
        let max_pending = max_pending.clamp(1, Semaphore::MAX_PERMITS);
        let permits = Arc::new(Semaphore::new(max_pending));
        let (retrying, in_flight, room) = (AtomicUsize::new(0), AtomicUsize::new(0), Notify::new());
        Self { counter, clock, counter_timeout, permits, max_pending, retrying, in_flight, room }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A permit for one call; `None` while `max_pending` calls are pending.
    pub(super) fn permit(&self) -> Option<PendingPermit> {
        Arc::clone(&self.permits).try_acquire_owned().ok().map(PendingPermit)
    }

    /// The number of calls whose result is not recorded yet.
    pub(super) fn pending(&self) -> usize {
        self.max_pending.saturating_sub(self.permits.available_permits())
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// Counts an attempt as in flight until the guard is dropped.
    pub(super) fn begin_in_flight(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        InFlight(Arc::clone(self))
    }

    /// Waits until nothing is pending.
    ///
    /// # Errors
    /// The number of calls that are still pending after `limit`.
    pub(super) async fn flush_pending(&self, limit: Duration) -> Result<(), usize> {
        let all = u32::try_from(self.max_pending).unwrap_or(u32::MAX);
        match timeout(limit, self.permits.acquire_many(all)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(self.pending()),
        }
    }

    /// Reserves a call.
    ///
    /// # Errors
    /// The counter failed or did not respond in time. The lease may exist and must be released.
    pub(super) async fn reserve(&self, lease: &Lease, caps: &Caps) -> Result<Admission> {
        self.with_timeout(self.counter.reserve(lease, caps)).await
    }

    /// Tries once to record the end of a lease.
    pub(super) async fn record(&self, end: &LeaseEnd) -> Result<()> {
        let recorded = match end {
            LeaseEnd::Settle(row) => self.with_timeout(self.counter.settle(row)).await,
            LeaseEnd::Release(id) => self.with_timeout(self.counter.release(*id)).await,
        };
        self.room.notify_waiters();
        recorded
    }

    /// Completes when the next lease has ended.
    pub(super) fn room(&self) -> Notified<'_> {
        self.room.notified()
    }

    /// Retries until the end of the lease is recorded, then returns `permit`.
    pub(super) async fn retry_until_recorded(
        &self,
        end: LeaseEnd,
        error: Error,
        permit: PendingPermit,
    ) {
        let id = end.id();
        if self.retrying.fetch_add(1, Ordering::Relaxed) == 0 {
            warn!(code = "usage_counter_unavailable", %id, %error, "usage counter unavailable; retrying");
        }
        let mut backoff = MIN_BACKOFF;
        loop {
            tokio::time::sleep(backoff).await;
            let Err(error) = self.record(&end).await else { break };
            if error.is_retryable() {
                debug!(%id, %error, "call still not recorded");
            } else {
                warn!(code = "usage_counter_refused", %id, %error, "usage counter refused a call; retrying");
            }
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
        if self.retrying.fetch_sub(1, Ordering::Relaxed) == 1 {
            info!("usage counter recovered; all calls are recorded");
        }
        drop(permit);
    }

    async fn with_timeout<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let timed_out = |_| Err(Error::unavailable("the usage counter does not respond"));
        timeout(self.counter_timeout, call).await.unwrap_or_else(timed_out)
    }
}

impl LeaseEnd {
    fn id(&self) -> Uuid {
        match self {
            Self::Settle(row) => row.id,
            Self::Release(id) => *id,
        }
    }
}

/// Counts one attempt as in flight until dropped.
pub(super) struct InFlight(Arc<CallLedger>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}
