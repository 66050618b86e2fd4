//! The rules of the leader lease. Pure, so that property tests can try any history.

use std::time::Duration;

use uuid::Uuid;

use crate::store::LeaderLease;

/// A holder that has not renewed its lease for this long has lost it. Each process measures with
/// its own monotonic clock, from when it last saw the lease change; no two clocks are compared.
pub(super) const LEASE_DURATION: Duration = Duration::from_secs(10);

/// The lease that `candidate` may store over `seen`, whose row has not changed for `unchanged_for`.
/// `None` while another process holds it: while `unchanged_for` is shorter than
/// [`LEASE_DURATION`] and the lease was not released.
pub(super) fn try_acquire(
    name: &str,
    seen: Option<&LeaderLease>,
    unchanged_for: Duration,
    candidate: Uuid,
) -> Option<LeaderLease> {
    let free = seen.is_none_or(|seen| seen.holder.is_none() || unchanged_for >= LEASE_DURATION);
    let fence = seen.map_or(0, |seen| seen.fence);
    free.then(|| LeaderLease {
        name: name.to_owned(),
        holder: Some(candidate),
        fence: fence.saturating_add(1),
        renewals: 0,
    })
}

/// The same lease, renewed once more.
pub(super) fn renew(lease: &LeaderLease) -> LeaderLease {
    LeaderLease { renewals: lease.renewals.saturating_add(1), ..lease.clone() }
}

/// The same lease without a holder.
pub(super) fn release(lease: &LeaderLease) -> LeaderLease {
    LeaderLease { holder: None, ..renew(lease) }
}
