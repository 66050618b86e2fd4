//! The circuit breaker: a provider that keeps failing is left alone for a while.
//!
//! [`Breaker`] is a pure state machine: closed → (failures in a row) → open → (cool-down over, one
//! probe) → half open → closed again, or open for twice as long. [`Circuit`] is one that tasks
//! share.

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
    /// Five failures, 10 s, at most 2 minutes: an outage still brings the failures that stop a run.
    fn default() -> Self {
        Self {
            failures: 5,
            cool_down: Duration::from_secs(10),
            max_cool_down: Duration::from_secs(120),
        }
    }
}

/// A breaker. Times are counted from any fixed moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breaker {
    policy: BreakerPolicy,
    state: State,
    /// Counts the state's changes, so that a call is only heard in the state it began in.
    era: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { until: Duration, cool_down: Duration },
    HalfOpen { cool_down: Duration },
}

/// Leave to make one call; give it back with [`Breaker::record`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Leave {
    era: u64,
}

/// How a call went, as far as the breaker cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// The provider answered, if only to refuse this request.
    Alive,
    /// It failed, and asks to be left alone for so long.
    Failed(Option<Duration>),
    /// The call was not made, or tells nothing.
    Nothing,
}

impl Breaker {
    /// A closed breaker.
    pub fn new(policy: BreakerPolicy) -> Self {
        Self { policy, state: State::Closed { failures: 0 }, era: 0 }
    }

    /// How long calls are refused; `None` while one may be made. While a probe is on its way, the
    /// answer is the cool-down that its failure would at least bring.
    pub fn closed_for(&self, now: Duration) -> Option<Duration> {
        match self.state {
            State::Closed { .. } => None,
            State::Open { until, .. } => Some(until.saturating_sub(now)).filter(|d| !d.is_zero()),
            State::HalfOpen { cool_down } => Some(cool_down),
        }
    }

    /// Leave to make one call.
    ///
    /// # Errors
    /// How long calls are refused.
    pub fn enter(&mut self, now: Duration) -> Result<Leave, Duration> {
        if let Some(wait) = self.closed_for(now) {
            return Err(wait);
        }
        if let State::Open { cool_down, .. } = self.state {
            self.turn(State::HalfOpen { cool_down });
        }
        Ok(Leave { era: self.era })
    }

    /// Takes note of how a call went. One that began before the last change is not heard.
    pub fn record(&mut self, leave: Leave, heard: Heard, now: Duration) {
        if leave.era != self.era {
            return;
        }
        match (self.state, heard) {
            (State::Closed { .. }, Heard::Alive) => self.state = State::Closed { failures: 0 },
            (State::Closed { failures }, Heard::Failed(asked)) => {
                let failures = failures.saturating_add(1);
                if failures >= self.policy.failures.max(1) {
                    self.open(self.policy.cool_down, asked, now);
                } else {
                    self.state = State::Closed { failures };
                }
            }
            (State::HalfOpen { .. }, Heard::Alive) => self.turn(State::Closed { failures: 0 }),
            (State::HalfOpen { cool_down }, Heard::Failed(asked)) => {
                self.open(cool_down.saturating_mul(2), asked, now);
            }
            // The probe was never sent: the next call may be one.
            (State::HalfOpen { cool_down }, Heard::Nothing) => {
                self.turn(State::Open { until: now, cool_down });
            }
            (State::Closed { .. }, Heard::Nothing) | (State::Open { .. }, _) => {}
        }
    }

    fn open(&mut self, cool_down: Duration, asked: Option<Duration>, now: Duration) {
        let most = self.policy.max_cool_down.max(self.policy.cool_down);
        let cool_down = cool_down.min(most);
        let rest = cool_down.max(asked.unwrap_or_default().min(most));
        self.turn(State::Open { until: now.saturating_add(rest), cool_down });
    }

    fn turn(&mut self, state: State) {
        self.state = state;
        self.era = self.era.wrapping_add(1);
    }
}

/// A breaker that tasks share, on tokio's time.
#[derive(Debug)]
pub struct Circuit {
    breaker: Mutex<Breaker>,
    began: Instant,
}

/// Leave to make one call through a [`Circuit`]. Dropped unused, it tells nothing.
#[derive(Debug)]
#[must_use]
pub struct Pass {
    circuit: Arc<Circuit>,
    leave: Option<Leave>,
}

impl Circuit {
    /// A closed circuit.
    pub fn new(policy: BreakerPolicy) -> Self {
        Self { breaker: Mutex::new(Breaker::new(policy)), began: Instant::now() }
    }

    /// How long calls are refused; `None` while one may be made.
    pub fn closed_for(&self) -> Option<Duration> {
        self.with(|breaker, now| breaker.closed_for(now))
    }

    /// Leave to make one call.
    ///
    /// # Errors
    /// How long calls are refused.
    pub fn enter(self: &Arc<Self>) -> Result<Pass, Duration> {
        let leave = self.with(Breaker::enter)?;
        Ok(Pass { circuit: Arc::clone(self), leave: Some(leave) })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Breaker, Duration) -> T) -> T {
        // Nothing in here panics half way; a lock poisoned elsewhere is as good as any.
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        act(&mut breaker, self.began.elapsed())
    }
}

impl Pass {
    /// Tells how the call went.
    pub fn record(mut self, heard: Heard) {
        self.tell(heard);
    }

    fn tell(&mut self, heard: Heard) {
        if let Some(leave) = self.leave.take() {
            self.circuit.with(|breaker, now| breaker.record(leave, heard, now));
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.tell(Heard::Nothing);
    }
}
