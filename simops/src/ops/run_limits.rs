//! Pauses or ends runs at their limits, also those that no host of this deployment drives.

use std::time::Duration;

use tokio::time::timeout;
use tracing::{debug, warn};

use super::SystemWriter;
use crate::Result;
use crate::enforcement::enforce_limits;
use crate::run::RunGate;

/// How often figures are compared with the limits of open runs.
const INTERVAL: Duration = Duration::from_millis(500);
/// The delay while no open run has limits; a change of the control state ends it.
const IDLE_INTERVAL: Duration = Duration::from_secs(30);

impl SystemWriter<'_> {
    /// Pauses or ends the open runs that have reached a limit; whether others have limits and may reach
    /// one.
    pub async fn enforce_run_limits(self) -> Result<bool> {
        let executor = &self.ops.executor;
        let state = self.ops.store.load().await?;
        enforce_limits(executor, &state, None).await?;
        let mut open = state.open_runs();
        Ok(open.any(|run| run.limits.is_some() && run.gate() == RunGate::Open))
    }

    /// Does that twice a second, forever. Any number of processes may: a limit must not wait until the
    /// lease of one that has crashed expires.
    ///
    /// # Cancel safety
    /// Dropping the future stops it. A run may or may not have been paused or ended.
    pub async fn keep_enforcing_run_limits(self) {
        let mut changes = self.ops.store.watch();
        let mut failing = false;
        loop {
            changes.mark_unchanged();
            let delay = match self.enforce_run_limits().await {
                Ok(limited) => {
                    failing = false;
                    if limited { INTERVAL } else { IDLE_INTERVAL }
                }
                Err(error) if std::mem::replace(&mut failing, true) => {
                    debug!(%error, "limits of runs still cannot be checked");
                    INTERVAL
                }
                Err(error) => {
                    warn!(code = "run_limits_failed", %error, "limits of runs cannot be checked; retrying");
                    INTERVAL
                }
            };
            match delay {
                INTERVAL => tokio::time::sleep(delay).await,
                _ => {
                    let _ = timeout(delay, changes.changed()).await;
                }
            }
        }
    }
}
