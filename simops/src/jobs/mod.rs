//! Timers: what has to happen by itself, in one process at a time of all that share a store.
//!
//! The processes elect one by a row of the store ([`crate::store::LeaderLeaseStore`]). It renews its
//! tenure, another takes over at most [`LEASE`] and a look after its death, and it gives up when it
//! shuts down. Two clocks are never compared. A process that was held up may think for a moment
//! longer that the duty is its own; what it writes carries the tenure's [`FencingToken`], by which the
//! store tells.

mod election;
mod office;

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
pub use election::{LEASE, bid, renewed, vacated};
use office::Office;

/// The duty of running timers.
pub const DUTY: &str = "timers";
/// A run that takes longer is cut short.
const RUN_WITHIN: Duration = Duration::from_secs(300);
/// After a failed run, at most so long until the next.
const AFTER_FAILURE: Duration = Duration::from_secs(5);
/// Never faster, whatever a timer wishes.
const NOT_FASTER: Duration = Duration::from_millis(10);

/// Something to do again and again.
#[async_trait]
pub trait Timer: Send + Sync {
    /// What to call it in logs.
    fn name(&self) -> &'static str;

    /// Does what is due, and says when to be run again at the latest. Called as soon as the process
    /// has the duty. It may be dropped at any await, when the duty is lost or the process ends, and
    /// may run in two processes at once for a moment: what it writes must bear that, by `stamp` or
    /// because repeating it changes nothing.
    ///
    /// # Errors
    /// Logged; the run is repeated a little later.
    async fn run(&self, stamp: &FencingToken) -> Result<Duration>;

    /// Completes when something calls for a run before its time. By default it never does.
    async fn called(&self) {
        std::future::pending::<()>().await;
    }
}

/// The timers of a process.
pub struct Timers {
    store: Arc<dyn RunStore>,
    timers: Vec<Arc<dyn Timer>>,
}

impl Timers {
    /// No timers yet.
    pub fn new(store: Arc<dyn RunStore>) -> Self {
        Self { store, timers: Vec::new() }
    }

    /// The same with one more.
    #[must_use]
    pub fn with(mut self, timer: Arc<dyn Timer>) -> Self {
        self.timers.push(timer);
        self
    }

    /// Runs them whenever this process has the duty, until `shutdown` completes; then the duty is
    /// given up.
    ///
    /// # Cancel safety
    /// Dropping it ends the timers; another process takes over once the tenure has expired.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let office = Office::new(Arc::clone(&self.store), DUTY);
        let mut shutdown = pin!(shutdown);
        loop {
            let mut held = tokio::select! {
                biased;
                () = &mut shutdown => return,
                held = office.win() => held,
            };
            let mut runs = JoinSet::new();
            for timer in &self.timers {
                runs.spawn(keep_running(Arc::clone(timer), held.tenure.stamp()));
            }
            let ended = tokio::select! {
                () = &mut shutdown => true,
                () = office.keep(&mut held) => false,
            };
            // None of them writes any more once the duty is another's.
            runs.shutdown().await;
            if ended {
                office.give_up(&held).await;
                return;
            }
        }
    }
}

/// Runs a timer for ever. A defect costs it a run, and nobody else anything.
async fn keep_running(timer: Arc<dyn Timer>, stamp: FencingToken) {
    let name = timer.name();
    let mut failing = false;
    loop {
        let run = timeout(RUN_WITHIN, AssertUnwindSafe(timer.run(&stamp)).catch_unwind());
        let wait = match run.await {
            Ok(Ok(Ok(wait))) => {
                if std::mem::take(&mut failing) {
                    info!(timer = name, "the timer runs again");
                }
                wait
            }
            Ok(Ok(Err(problem))) => {
                if std::mem::replace(&mut failing, true) {
                    debug!(timer = name, error = %problem, "the timer still fails");
                } else {
                    warn!(timer = name, error = %problem, "the timer failed; it runs again soon");
                }
                AFTER_FAILURE
            }
            Ok(Err(_)) => {
                error!(timer = name, "the timer panicked; it runs again soon");
                AFTER_FAILURE
            }
            Err(_) => {
                error!(timer = name, "the timer took too long and was cut short");
                AFTER_FAILURE
            }
        };
        sleep(NOT_FASTER).await;
        tokio::select! {
            () = sleep(wait) => {}
            () = timer.called() => {}
        }
    }
}
