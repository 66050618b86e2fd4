//! Timers: periodic work that one process does for all that share a store.
//!
//! The processes elect a leader by a row of the store ([`crate::store::LeaderLeaseStore`]). The leader
//! renews its lease and releases it when it shuts down; when it dies, another process takes over
//! within 10 s and one poll interval. A leader that was suspended may run a moment
//! longer than its lease: its writes carry a [`FencingToken`], which the store checks.

mod election;
mod elector;
#[cfg(test)]
mod tests;

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, error, info, warn};

use crate::Result;
use crate::store::{FencingToken, RunStore};
use elector::LeaderElector;

/// The name of the leader lease under which timers run.
pub const LEASE_NAME: &str = "timers";
/// A run that takes longer is cancelled.
const RUN_TIMEOUT: Duration = Duration::from_secs(300);
/// The delay after a failed run.
const RETRY_DELAY: Duration = Duration::from_secs(5);
/// The least delay between two runs, whatever a timer returns.
const MIN_DELAY: Duration = Duration::from_millis(10);

/// Periodic work.
#[async_trait]
pub trait Timer: Send + Sync {
    /// The timer's name in logs.
    fn name(&self) -> &'static str;

    /// Does the work that is due and returns the delay until the next run. The first run begins as
    /// soon as the process leads.
    ///
    /// For a moment two processes may run it at once. Its writes must allow for that: by passing
    /// `token` to the store, or by being idempotent.
    ///
    /// # Errors
    /// Any error is logged, and the timer runs again after a few seconds.
    ///
    /// # Cancel safety
    /// The future is dropped at any await when the lease is lost or the process shuts down.
    async fn run(&self, token: &FencingToken) -> Result<Duration>;

    /// Completes when the timer should run before its delay is over. The default never completes.
    async fn triggered(&self) {
        std::future::pending::<()>().await;
    }
}

/// The timers of a process.
pub struct Timers {
    store: Arc<dyn RunStore>,
    timers: Vec<Arc<dyn Timer>>,
}

impl Timers {
    /// An empty set of timers.
    pub fn new(store: Arc<dyn RunStore>) -> Self {
        Self { store, timers: Vec::new() }
    }

    /// Adds a timer.
    #[must_use]
    pub fn with(mut self, timer: Arc<dyn Timer>) -> Self {
        self.timers.push(timer);
        self
    }

    /// Runs the timers while this process holds the leader lease, until `shutdown` completes; then
    /// releases the lease.
    ///
    /// # Cancel safety
    /// Dropping the future stops the timers; another process takes over once the lease expires.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let elector = LeaderElector::new(Arc::clone(&self.store), LEASE_NAME);
        let mut shutdown = pin!(shutdown);
        loop {
            let mut leadership = tokio::select! {
                biased;
                () = &mut shutdown => return,
                leadership = elector.acquire() => leadership,
            };
            let mut runs = JoinSet::new();
            for timer in &self.timers {
                runs.spawn(keep_running(Arc::clone(timer), leadership.lease.fencing_token()));
            }
            let ended = tokio::select! {
                () = &mut shutdown => true,
                () = elector.renew_until_lost(&mut leadership) => false,
            };
            // Stop them before another process may lead.
            runs.shutdown().await;
            if ended {
                elector.release(&leadership).await;
                return;
            }
        }
    }
}

/// Runs a timer forever. An error, a panic or a time-out ends only that run.
async fn keep_running(timer: Arc<dyn Timer>, token: FencingToken) {
    let name = timer.name();
    let mut failing = false;
    loop {
        let run = timeout(RUN_TIMEOUT, AssertUnwindSafe(timer.run(&token)).catch_unwind());
        let wait = match run.await {
            Ok(Ok(Ok(wait))) => {
                if std::mem::take(&mut failing) {
                    info!(timer = name, "timer recovered");
                }
                wait
            }
            Ok(Ok(Err(problem))) => {
                if std::mem::replace(&mut failing, true) {
                    debug!(timer = name, error = %problem, "timer still failing");
                } else {
                    warn!(code = "timer_failed", timer = name, error = %problem, "timer failed; retrying");
                }
                RETRY_DELAY
            }
            Ok(Err(_)) => {
                error!(code = "timer_panicked", timer = name, "timer panicked; retrying");
                RETRY_DELAY
            }
            Err(_) => {
                error!(code = "timer_timed_out", timer = name, "timer run timed out; retrying");
                RETRY_DELAY
            }
        };
        sleep(MIN_DELAY).await;
        tokio::select! {
            () = sleep(wait) => {}
            () = timer.triggered() => {}
        }
    }
}
