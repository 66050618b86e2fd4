//! When a duty may be taken: pure, so that it can be tried over any history.

use std::time::Duration;

use uuid::Uuid;

use crate::store::LeaderLease;

/// A holder that gives no sign of life for so long has lost its duty. Each process measures it by
/// its own clock, from when it saw the last sign, so clocks need not agree.
pub const LEASE: Duration = Duration::from_secs(10);

/// The tenure in which `me` takes the duty, if it may: nobody has it, or its holder has given no
/// sign of life for `silent`, which is [`LEASE`] or longer.
pub fn bid(
    duty: &str,
    seen: Option<&LeaderLease>,
    silent: Duration,
    me: Uuid,
) -> Option<LeaderLease> {
    let free = seen.is_none_or(|seen| seen.holder.is_none() || silent >= LEASE);
    let fence = seen.map_or(0, |seen| seen.fence);
    free.then(|| LeaderLease {
        duty: duty.to_owned(),
        holder: Some(me),
        fence: fence.saturating_add(1),
        beat: 0,
    })
}

/// The same tenure after one more sign of life.
pub fn renewed(tenure: &LeaderLease) -> LeaderLease {
    LeaderLease { beat: tenure.beat.saturating_add(1), ..tenure.clone() }
}

/// The duty without a holder.
pub fn vacated(tenure: &LeaderLease) -> LeaderLease {
    LeaderLease { holder: None, ..renewed(tenure) }
}
