//! Retries of writes: after a failed connection, or when the server asks for one.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// Pauses before the second, third and fourth attempt.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(200), Duration::from_millis(600), Duration::from_millis(1_500)];
/// A server may ask for a longer pause, up to this.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// The pauses left.
pub(super) struct Retry(std::array::IntoIter<Duration, 3>);

impl Retry {
    pub(super) fn new() -> Self {
        Self(PAUSES.into_iter())
    }

    /// Whether one pause has been given.
    pub(super) fn is_first(&self) -> bool {
        self.0.len() + 1 == PAUSES.len()
    }

    /// The pause before the next attempt, at least `wished`; `None` when there is none.
    pub(super) fn pause(&mut self, wished: Duration) -> Option<Duration> {
        self.0.next().map(|pause| pause.max(wished)).filter(|pause| *pause <= MAX_PAUSE)
    }
}

/// The wait that an unavailable server asks for.
pub(super) fn asked_for(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    if status != StatusCode::SERVICE_UNAVAILABLE {
        return None;
    }
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
