//! The circuit breaker: stops calls to a provider that keeps failing.
//!
//! [`Breaker`] is a pure state machine: closed, then (after failures in a row) open, then (after the
//! cool-down, for one probe) half open, then closed again, or open for twice as long.
//! [`SharedBreaker`] lets several tasks use one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Failures in a row that open it; at least 1.
    pub failures: u32,
    /// The first cool-down; each failed probe doubles it.
    pub cool_down: Duration,
    /// The longest cool-down.
    pub max_cool_down: Duration,
}

impl Default for BreakerPolicy {
    /// Five failures, 10 s, at most 2 minutes: short enough that an outage still produces the
    /// failures that stop a run.
    fn default() -> Self {
        Self {
            failures: 5,
            cool_down: Duration::from_secs(10),
            max_cool_down: Duration::from_secs(120),
        }
    }
}

/// A circuit breaker. All times count from one fixed instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Breaker {
    policy: BreakerPolicy,
    state: State,
    /// Incremented by every transition. The outcome of a call counts only in the generation in which
    /// the call began.
    generation: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { until: Duration, cool_down: Duration },
    HalfOpen { cool_down: Duration },
}

/// Permission to make one call; return it with [`Breaker::record`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) struct Permit {
    generation: u64,
}

/// The outcome of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallOutcome {
    /// The provider responded, even if it refused the request.
    Responded,
    /// The provider failed; the value is the `Retry-After` it sent, if any.
    Failed(Option<Duration>),
    /// The call was not made, or its outcome says nothing about the provider.
    NotSent,
}

impl Breaker {
    /// A closed breaker.
    pub(super) fn new(policy: BreakerPolicy) -> Self {
        Self { policy, state: State::Closed { failures: 0 }, generation: 0 }
    }

    /// The time until a call may be made; `None` if one may be made now. While a probe is in
    /// flight, this is the current cool-down.
    pub(super) fn retry_after(&self, now: Duration) -> Option<Duration> {
        match self.state {
            State::Closed { .. } => None,
            State::Open { until, .. } => Some(until.saturating_sub(now)).filter(|d| !d.is_zero()),
            State::HalfOpen { cool_down } => Some(cool_down),
        }
    }

    /// Takes a permit for one call.
    ///
    /// # Errors
    /// The breaker refuses the call; the value is the time until one may be made.
    pub(super) fn try_acquire(&mut self, now: Duration) -> Result<Permit, Duration> {
        if let Some(wait) = self.retry_after(now) {
            return Err(wait);
        }
        if let State::Open { cool_down, .. } = self.state {
            self.transition_to(State::HalfOpen { cool_down });
        }
        Ok(Permit { generation: self.generation })
    }

    /// Records the outcome of a call. Ignored if the call began before the last transition.
    pub(super) fn record(&mut self, permit: Permit, outcome: CallOutcome, now: Duration) {
        if permit.generation != self.generation {
            return;
        }
        match (self.state, outcome) {
            (State::Closed { .. }, CallOutcome::Responded) => {
                self.state = State::Closed { failures: 0 }
            }
            (State::Closed { failures }, CallOutcome::Failed(retry_after)) => {
                let failures = failures.saturating_add(1);
                if failures >= self.policy.failures.max(1) {
                    self.open(self.policy.cool_down, retry_after, now);
                } else {
                    self.state = State::Closed { failures };
                }
            }
            (State::HalfOpen { .. }, CallOutcome::Responded) => {
                self.transition_to(State::Closed { failures: 0 });
            }
            (State::HalfOpen { cool_down }, CallOutcome::Failed(retry_after)) => {
                self.open(cool_down.saturating_mul(2), retry_after, now);
            }
            // The probe was never sent, so the next call may be the probe.
            (State::HalfOpen { cool_down }, CallOutcome::NotSent) => {
                self.transition_to(State::Open { until: now, cool_down });
            }
            (State::Closed { .. }, CallOutcome::NotSent) | (State::Open { .. }, _) => {}
        }
    }

    fn open(&mut self, cool_down: Duration, retry_after: Option<Duration>, now: Duration) {
        let max = self.policy.max_cool_down.max(self.policy.cool_down);
        let cool_down = cool_down.min(max);
        let wait = cool_down.max(retry_after.unwrap_or_default().min(max));
        self.transition_to(State::Open { until: now.saturating_add(wait), cool_down });
    }

    fn transition_to(&mut self, state: State) {
        self.state = state;
        self.generation = self.generation.wrapping_add(1);
    }
}

/// A breaker that several tasks share, on tokio's clock.
#[derive(Debug)]
pub(super) struct SharedBreaker {
    breaker: Mutex<Breaker>,
    started: Instant,
}

/// Permission to make one call through a [`SharedBreaker`]. Dropping it unused records
/// [`CallOutcome::NotSent`].
#[derive(Debug)]
#[must_use]
pub(super) struct SharedPermit {
    breaker: Arc<SharedBreaker>,
    permit: Permit,
    outcome: CallOutcome,
}

impl SharedBreaker {
    /// A closed breaker.
    pub(super) fn new(policy: BreakerPolicy) -> Self {
        Self { breaker: Mutex::new(Breaker::new(policy)), started: Instant::now() }
    }

    /// The time until a call may be made; `None` if one may be made now.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.with(|breaker, now| breaker.retry_after(now))
    }

    /// Takes a permit for one call.
    ///
    /// # Errors
    /// The breaker refuses the call; the value is the time until one may be made.
    pub(super) fn try_acquire(self: &Arc<Self>) -> Result<SharedPermit, Duration> {
        let permit = self.with(Breaker::try_acquire)?;
        Ok(SharedPermit { breaker: Arc::clone(self), permit, outcome: CallOutcome::NotSent })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Breaker, Duration) -> T) -> T {
        // A poisoned lock is safe to use: no closure leaves the breaker half changed.
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        act(&mut breaker, self.started.elapsed())
    }
}

impl SharedPermit {
    /// Records the outcome of the call.
    pub(super) fn record(mut self, outcome: CallOutcome) {
        self.outcome = outcome;
    }
}

impl Drop for SharedPermit {
    fn drop(&mut self) {
        self.breaker.with(|breaker, now| breaker.record(self.permit, self.outcome, now));
    }
}
