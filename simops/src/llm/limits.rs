//! How many calls a provider gets at once, and per minute.
//!
//! Both limits apply per process. Waiting calls are served first come, first served, each until its
//! own deadline.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout_at};

const MINUTE: Duration = Duration::from_secs(60);

/// A provider's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Concurrent calls; at least 1.
    pub concurrency: usize,
    /// Calls begun in any 60 s; `None`: no limit. For OpenRouter the setting
    /// `OPENROUTER_RPM_LIMIT` replaces it.
    pub per_minute: Option<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { concurrency: 8, per_minute: None }
    }
}

/// Calls begun in the last 60 s. All times count from one fixed instant.
#[derive(Debug, Clone, Default)]
pub(super) struct RateWindow {
    begun: VecDeque<Duration>,
}

impl RateWindow {
    /// Counts a call that begins at `now`, if fewer than `limit` calls began in the 60 s before.
    ///
    /// # Errors
    /// The time to wait until a call may begin.
    pub(super) fn try_begin(&mut self, now: Duration, limit: u32) -> Result<(), Duration> {
        while self.begun.front().is_some_and(|at| now.saturating_sub(*at) >= MINUTE) {
            self.begun.pop_front();
        }
        let limit = usize::try_from(limit.max(1)).unwrap_or(usize::MAX);
        // If the limit was lowered, several calls must leave the window first.
        match self.begun.len().checked_sub(limit).and_then(|over| self.begun.get(over)) {
            None => {
                self.begun.push_back(now);
                Ok(())
            }
            Some(at) => Err((*at + MINUTE).saturating_sub(now)),
        }
    }

    /// Removes a call that was counted at `at` and never made.
    pub(super) fn cancel(&mut self, at: Duration) {
        if let Some(index) = self.begun.iter().rposition(|begun| *begun == at) {
            self.begun.remove(index);
        }
    }
}

/// Enforces a provider's limits across tasks, on tokio's clock.
#[derive(Debug)]
pub(super) struct RateLimiter {
    concurrency: Arc<Semaphore>,
    per_minute: Option<u32>,
    /// Serialises the tasks that wait for the minute's limit; fair.
    queue: tokio::sync::Mutex<()>,
    window: Mutex<RateWindow>,
    started: Instant,
}

/// Permission for one call; dropping it ends the call.
#[derive(Debug)]
#[must_use]
pub(super) struct RatePermit {
    limiter: Arc<RateLimiter>,
    counted_at: Option<Duration>,
    _permit: OwnedSemaphorePermit,
}

impl RateLimiter {
    /// A limiter that has admitted no call.
    pub(super) fn new(limits: Limits) -> Self {
        let concurrency = limits.concurrency.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            concurrency: Arc::new(Semaphore::new(concurrency)),
            per_minute: limits.per_minute,
            queue: tokio::sync::Mutex::new(()),
            window: Mutex::default(),
            started: Instant::now(),
        }
    }

    /// Waits for a permit until `deadline`. `per_minute` overrides the provider's own limit.
    ///
    /// # Errors
    /// No permit becomes free before the deadline; the value is the time to wait for one, if known.
    ///
    /// # Cancel safety
    /// Dropping the future takes no permit.
    pub(super) async fn acquire(
        self: &Arc<Self>,
        per_minute: Option<u32>,
        deadline: Instant,
    ) -> Result<RatePermit, Option<Duration>> {
        let waiting = timeout_at(deadline, Arc::clone(&self.concurrency).acquire_owned()).await;
        let Ok(Ok(permit)) = waiting else { return Err(None) };
        let mut permit =
            RatePermit { limiter: Arc::clone(self), counted_at: None, _permit: permit };
        let Some(limit) = per_minute.or(self.per_minute) else { return Ok(permit) };
        let Ok(_queue) = timeout_at(deadline, self.queue.lock()).await else { return Err(None) };
        loop {
            let now = self.started.elapsed();
            let Err(wait) = self.with_window(|window| window.try_begin(now, limit)) else {
                permit.counted_at = Some(now);
                return Ok(permit);
            };
            if Instant::now() + wait > deadline {
                return Err(Some(wait));
            }
            sleep(wait).await;
        }
    }

    fn with_window<T>(&self, act: impl FnOnce(&mut RateWindow) -> T) -> T {
        // A poisoned lock is safe to use: no closure leaves the window half changed.
        act(&mut self.window.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl RatePermit {
    /// Marks the call as begun, so that it keeps counting towards its minute. Dropping a permit
    /// that was never begun removes the call from the window.
    pub(super) fn begin(&mut self) {
        self.counted_at = None;
    }
}

impl Drop for RatePermit {
    fn drop(&mut self) {
        if let Some(at) = self.counted_at {
            self.limiter.with_window(|window| window.cancel(at));
        }
    }
}
