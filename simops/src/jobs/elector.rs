//! How a process acquires, renews and releases the leader lease.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::election::{LEASE_DURATION, release, renew, try_acquire};
use crate::store::{LeaderLease, RunStore};

/// How often a process without the lease reads it.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How often the holder renews the lease.
const RENEW_INTERVAL: Duration = Duration::from_secs(2);
/// A holder that cannot renew stops after this long: before another process may acquire.
const HOLDER_TIMEOUT: Duration = LEASE_DURATION.saturating_sub(Duration::from_secs(1));
/// A store call that takes longer counts as failed.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// How long to try to release the lease on shutdown; if that fails, it expires.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(1);

/// Elects this process to hold one lease.
pub(super) struct LeaderElector {
    store: Arc<dyn RunStore>,
    lease_name: &'static str,
    process_id: Uuid,
}

/// A lease that this process holds, and until when if it cannot renew it.
pub(super) struct Leadership {
    pub(super) lease: LeaderLease,
    until: Instant,
}

impl LeaderElector {
    pub(super) fn new(
        store: Arc<dyn RunStore>,
        lease_name: &'static str,
        process_id: Uuid,
    ) -> Self {
        Self { store, lease_name, process_id }
    }

    /// Waits until this process holds the lease.
    pub(super) async fn acquire(&self) -> Leadership {
        let (mut last, mut unchanged_since) = (None, Instant::now());
        loop {
            let requested_at = Instant::now();
            if let Some(seen) = self.call(self.store.leader_lease(self.lease_name)).await {
                // The lease may have been renewed while it was read, so count from the response.
                if seen != last {
                    (last, unchanged_since) = (seen.clone(), Instant::now());
                }
                let unchanged_for = unchanged_since.elapsed();
                let next =
                    try_acquire(self.lease_name, seen.as_ref(), unchanged_for, self.process_id);
                if let Some(next) = next
                    && self.replace(seen.as_ref(), &next).await == Some(true)
                {
                    info!(lease = self.lease_name, fence = next.fence, "acquired leader lease");
                    return Leadership { lease: next, until: requested_at + HOLDER_TIMEOUT };
                }
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Renews the lease until it is lost.
    pub(super) async fn renew_until_lost(&self, leadership: &mut Leadership) {
        loop {
            let requested_at = Instant::now();
            let next = renew(&leadership.lease);
            let renewed = tokio::select! {
                renewed = self.replace(Some(&leadership.lease), &next) => renewed,
                () = sleep_until(leadership.until) => {
                    warn!(code = "leader_lease_expired", lease = self.lease_name, "leader lease expired: renewals failed");
                    return;
                }
            };
            match renewed {
                Some(true) => {
                    *leadership = Leadership { lease: next, until: requested_at + HOLDER_TIMEOUT }
                }
                // Another process took it, or an earlier renewal of unknown outcome succeeded.
                Some(false) => match self.call(self.store.leader_lease(self.lease_name)).await {
                    Some(Some(seen)) if self.is_mine(&seen, leadership) => leadership.lease = seen,
                    Some(_) => {
                        warn!(
                            code = "leader_lease_lost",
                            lease = self.lease_name,
                            "leader lease taken by another process"
                        );
                        return;
                    }
                    None => {}
                },
                None => {}
            }
            let pause = if renewed == Some(true) { RENEW_INTERVAL } else { POLL_INTERVAL };
            sleep_until(leadership.until.min(Instant::now() + pause)).await;
        }
    }

    /// Releases the lease so that another process can acquire it at once. If this fails, the lease
    /// expires.
    pub(super) async fn release(&self, leadership: &Leadership) {
        let released = release(&leadership.lease);
        let replacing = self.store.replace_leader_lease(Some(&leadership.lease), &released);
        match timeout(RELEASE_TIMEOUT, replacing).await {
            Ok(Ok(true)) => info!(lease = self.lease_name, "released leader lease"),
            other => {
                debug!(lease = self.lease_name, ?other, "leader lease not released; it expires");
            }
        }
    }

    fn is_mine(&self, seen: &LeaderLease, leadership: &Leadership) -> bool {
        seen.holder == Some(self.process_id) && seen.fence == leadership.lease.fence
    }

    async fn replace(&self, seen: Option<&LeaderLease>, next: &LeaderLease) -> Option<bool> {
        self.call(self.store.replace_leader_lease(seen, next)).await
    }

    /// The store's response; `None` when the call failed or timed out.
    async fn call<T>(&self, call: impl Future<Output = crate::Result<T>>) -> Option<T> {
        match timeout(CALL_TIMEOUT, call).await {
            Ok(Ok(response)) => Some(response),
            Ok(Err(error)) => {
                debug!(lease = self.lease_name, %error, "leader lease call failed");
                None
            }
            Err(_) => {
                debug!(lease = self.lease_name, "leader lease call timed out");
                None
            }
        }
    }
}
