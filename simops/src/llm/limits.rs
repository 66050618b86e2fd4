//! How many calls a provider gets at once, and per minute.
//!
//! Both limits hold per process. Whoever waits is served in the order of arrival, and no longer
//! than until its deadline.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout_at};

const MINUTE: Duration = Duration::from_secs(60);

/// A provider's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Calls at once; at least 1.
    pub concurrency: usize,
    /// Calls begun in any 60 s; `None`: as many as wanted. Of OpenRouter the setting
    /// `OPENROUTER_RPM_LIMIT` decides instead.
    pub per_minute: Option<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { concurrency: 8, per_minute: None }
    }
}

/// Calls begun in the last 60 s. Times are counted from any fixed moment.
#[derive(Debug, Clone, Default)]
pub struct Window {
    begun: VecDeque<Duration>,
}

impl Window {
    /// Counts a call that begins `now`, if fewer than `limit` have begun in the 60 s before.
    ///
    /// # Errors
    /// How long to wait until one may begin.
    pub fn take(&mut self, now: Duration, limit: u32) -> Result<(), Duration> {
        while self.begun.front().is_some_and(|at| now.saturating_sub(*at) >= MINUTE) {
            self.begun.pop_front();
        }
        let limit = usize::try_from(limit.max(1)).unwrap_or(usize::MAX);
        // When the limit was lowered, more than one has to leave first.
        match self.begun.len().checked_sub(limit).and_then(|over| self.begun.get(over)) {
            None => {
                self.begun.push_back(now);
                Ok(())
            }
            Some(at) => Err((*at + MINUTE).saturating_sub(now)),
        }
    }

    /// Takes back a call that was counted at `at` and not made.
    pub fn give_back(&mut self, at: Duration) {
        if let Some(index) = self.begun.iter().rposition(|begun| *begun == at) {
            self.begun.remove(index);
        }
    }
}

/// A provider's limits that tasks share, on tokio's time.
#[derive(Debug)]
pub struct Gate {
    places: Arc<Semaphore>,
    per_minute: Option<u32>,
    /// Who waits for the minute; fair.
    queue: tokio::sync::Mutex<()>,
    window: Mutex<Window>,
    began: Instant,
}

/// A place for one call; it ends when dropped.
#[derive(Debug)]
#[must_use]
pub struct Place {
    gate: Arc<Gate>,
    counted_at: Option<Duration>,
    _permit: OwnedSemaphorePermit,
}

impl Gate {
    /// A gate with every place free.
    pub fn new(limits: Limits) -> Self {
        let most = Semaphore::MAX_PERMITS;
        Self {
            places: Arc::new(Semaphore::new(limits.concurrency.clamp(1, most))),
            per_minute: limits.per_minute,
            queue: tokio::sync::Mutex::new(()),
            window: Mutex::default(),
            began: Instant::now(),
        }
    }

    /// Waits for a place until `deadline`; `per_minute` replaces the gate's own limit.
    ///
    /// # Errors
    /// When no place becomes free in time: how long to wait for one, if that is known.
    ///
    /// # Cancel safety
    /// A dropped wait takes no place.
    pub async fn enter(
        self: &Arc<Self>,
        per_minute: Option<u32>,
        deadline: Instant,
    ) -> Result<Place, Option<Duration>> {
        let waiting = timeout_at(deadline, Arc::clone(&self.places).acquire_owned()).await;
        let Ok(Ok(permit)) = waiting else { return Err(None) };
        let mut place = Place { gate: Arc::clone(self), counted_at: None, _permit: permit };
        let Some(limit) = per_minute.or(self.per_minute) else { return Ok(place) };
        let Ok(_queue) = timeout_at(deadline, self.queue.lock()).await else { return Err(None) };
        loop {
            let now = self.began.elapsed();
            let taken = self.with_window(|window| window.take(now, limit));
            let Err(wait) = taken else {
                place.counted_at = Some(now);
                return Ok(place);
            };
            if Instant::now() + wait > deadline {
                return Err(Some(wait));
            }
            sleep(wait).await;
        }
    }

    fn with_window<T>(&self, act: impl FnOnce(&mut Window) -> T) -> T {
        // Nothing in here panics half way.
        act(&mut self.window.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Place {
    /// The call begins: it counts for its minute.
    pub fn begin(&mut self) {
        self.counted_at = None;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(at) = self.counted_at {
            self.gate.with_window(|window| window.give_back(at));
        }
    }
}
