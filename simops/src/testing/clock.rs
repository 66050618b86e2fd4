//! A clock that tests set.

use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use crate::Clock;
use crate::clock::truncate_to_micros;

/// A clock that changes only when it is set.
#[derive(Debug)]
pub struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    /// A clock at `now`.
    pub fn at(now: Timestamp) -> Self {
        Self(Mutex::new(truncate_to_micros(now)))
    }

    /// Sets the time, forward or backward.
    pub fn set(&self, now: Timestamp) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = truncate_to_micros(now);
    }

    /// Advances the time, at most to [`Timestamp::MAX`], and returns the new time.
    pub fn advance(&self, by: SignedDuration) -> Timestamp {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *now = truncate_to_micros(now.checked_add(by).unwrap_or(Timestamp::MAX));
        *now
    }
}

impl Default for ManualClock {
    /// The start of 2026, an arbitrary fixed time.
    fn default() -> Self {
        Self::at(Timestamp::from_second(1_767_225_600).unwrap_or(Timestamp::UNIX_EPOCH))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
