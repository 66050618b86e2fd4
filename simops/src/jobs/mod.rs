//! Timers: periodic work that one process does for all that share a store.
//!
//! For each timer, the processes that have it elect a leader by a row of the store
//! ([`crate::store::LeaderLeaseStore`]). So a process with few timers, such as a worker, keeps no timer
//! of a server from running. The leader renews its lease and releases it when it shuts down; when it
//! dies, another process takes over within 10 s and one poll interval. A leader that was suspended may
//! run a moment longer than its lease: its writes carry a [`FencingToken`], which the store checks.

mod election;
mod elector;
#[cfg(test)]
mod tests;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, error, info, warn};
use uuid::Uuid;

use crate::Result;
use crate::store::{FencingToken, RunStore};
use elector::LeaderElector;

/// A run that takes longer is cancelled.
const RUN_TIMEOUT: Duration = Duration::from_secs(300);
/// The delay after a failed run.
const RETRY_DELAY: Duration = Duration::from_secs(5);
/// The least delay between two runs, whatever a timer returns.
const MIN_DELAY: Duration = Duration::from_millis(10);

/// Periodic work.
#[async_trait]
pub trait Timer: Send + Sync {
    /// The timer's name in logs, and the name of its leader lease: timers of one name run in one
    /// process at a time.
    fn name(&self) -> &'static str;

    /// Does the work that is due and returns the delay until the next run. The first run begins as
    /// soon as the process holds the lease.
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

    /// Runs each timer while this process holds its lease, until `shutdown` completes; then releases
    /// the leases.
    ///
    /// # Cancel safety
    /// Dropping the future stops the timers; other processes take over once the leases expire.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let process_id = Uuid::now_v7();
        let (stop, stopping) = watch::channel(false);
        let mut timers = JoinSet::new();
        for timer in self.timers {
            let elector = LeaderElector::new(Arc::clone(&self.store), timer.name(), process_id);
            timers.spawn(run_while_leading(timer, elector, stopping.clone()));
        }
        shutdown.await;
        stop.send_replace(true);
        while timers.join_next().await.is_some() {}
    }
}

/// Runs a timer whenever this process holds its lease, until `stopping` is true.
async fn run_while_leading(
    timer: Arc<dyn Timer>,
    elector: LeaderElector,
    mut stopping: watch::Receiver<bool>,
) {
    loop {
        let mut leadership = tokio::select! {
            biased;
            _ = stopping.wait_for(|stopping| *stopping) => return,
            leadership = elector.acquire() => leadership,
        };
        // In a task of its own, so that no run delays a renewal.
        let mut runs = JoinSet::new();
        runs.spawn(keep_running(Arc::clone(&timer), leadership.lease.fencing_token()));
        let ended = tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => true,
            () = elector.renew_until_lost(&mut leadership) => false,
        };
        // Stop it before another process may lead.
        runs.shutdown().await;
        if ended {
            elector.release(&leadership).await;
            return;
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
