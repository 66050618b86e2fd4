//! The timer that turns leases of dead processes into rows.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, info, warn};

use super::UsageCounter;
use crate::Clock;

/// Expired leases are looked for so often.
const EVERY: Duration = Duration::from_secs(1);

/// Expires leases of `counter` once a second, for ever. Any number of processes may do so at once.
///
/// # Cancel safety
/// Dropping it ends the timer.
pub async fn keep_expiring(counter: &dyn UsageCounter, clock: &dyn Clock) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut away = false;
    loop {
        ticks.tick().await;
        match counter.expire(clock.now()).await {
            Ok(expired) => {
                if expired > 0 {
                    warn!(expired, "calls were never heard of again; booked at their upper bounds");
                }
                if std::mem::take(&mut away) {
                    info!("leases expire again");
                }
            }
            Err(error) if away => debug!(%error, "leases still cannot expire"),
            Err(error) => {
                away = true;
                warn!(%error, "leases cannot expire; it is tried again");
            }
        }
    }
}
