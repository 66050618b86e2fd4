//! The timer that expires the leases of dead processes.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, info, warn};

use super::UsageCounter;
use crate::Clock;

const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Expires leases of `counter` once a second, forever. Any number of processes may run it.
///
/// # Cancel safety
/// Dropping the future stops the timer.
pub async fn keep_expiring(counter: &dyn UsageCounter, clock: &dyn Clock) {
    let mut ticks = interval(POLL_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        ticks.tick().await;
        match counter.expire(clock.now()).await {
            Ok(expired) => {
                if expired > 0 {
                    warn!(
                        code = "leases_expired",
                        expired, "leases expired; charged what they had reserved"
                    );
                }
                if std::mem::take(&mut failing) {
                    info!("lease expiry succeeds again");
                }
            }
            Err(error) if failing => debug!(%error, "lease expiry still fails"),
            Err(error) => {
                failing = true;
                warn!(code = "lease_expiry_failed", %error, "lease expiry failed; retrying");
            }
        }
    }
}
