//! When a failed attempt is repeated on the same route.

use std::time::Duration;

use super::LlmError;

/// How often a failed attempt is repeated, and after which pauses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts on one route, the first included; at least 1.
    pub attempts: u32,
    /// The pause before the second attempt; it doubles from one to the next.
    pub base: Duration,
    /// The longest pause, unless the provider asks for a longer one.
    pub cap: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts: 3, base: Duration::from_millis(500), cap: Duration::from_secs(8) }
    }
}

impl RetryPolicy {
    /// The pause before the next attempt on this route, after `made` attempts failed, the last one
    /// with `error`. `None` if the route is not tried again: the error is final, no attempts are
    /// left, or the pause would not end within `left`.
    ///
    /// The pause is the doubled base with jitter from `entropy`, between 50% and 100% of it. If the
    /// provider asks for a pause (`Retry-After`), it is at least that long, plus the jitter.
    pub fn pause(
        &self,
        made: u32,
        error: &LlmError,
        entropy: u32,
        left: Duration,
    ) -> Option<Duration> {
        if !error.kind.is_retryable() || made >= self.attempts.max(1) {
            return None;
        }
        let doublings = made.saturating_sub(1).min(31);
        let backoff = self.base.saturating_mul(1 << doublings).min(self.cap);
        let jitter = (backoff / 2).mul_f64(f64::from(entropy) / f64::from(u32::MAX));
        let pause = match error.retry_after {
            Some(requested) => requested.saturating_add(jitter).max(backoff / 2 + jitter),
            None => backoff / 2 + jitter,
        };
        (pause < left).then_some(pause)
    }
}
