//! The job that pauses or ends runs at their limits, also those that no host of this deployment drives.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, watch};

use super::{Ops, SystemWriter};
use crate::Result;
use crate::enforcement::enforce_limits;
use crate::jobs::Timer;
use crate::run::RunGate;
use crate::store::FencingToken;

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
}

/// The job that enforces the limits of runs.
pub struct EnforceRunLimits {
    ops: Arc<Ops>,
    changes: Mutex<watch::Receiver<u64>>,
}

impl EnforceRunLimits {
    /// A job on the store of `ops`.
    pub fn new(ops: Arc<Ops>) -> Self {
        let changes = Mutex::new(ops.store().watch());
        Self { ops, changes }
    }
}

#[async_trait]
impl Timer for EnforceRunLimits {
    fn name(&self) -> &'static str {
        "run_limits"
    }

    async fn run(&self, _: &FencingToken) -> Result<Duration> {
        let limited = self.ops.system().enforce_run_limits().await?;
        Ok(if limited { INTERVAL } else { IDLE_INTERVAL })
    }

    async fn triggered(&self) {
        if self.changes.lock().await.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
