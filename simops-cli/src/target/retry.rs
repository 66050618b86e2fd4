//! When a write is sent again: the server could not be reached, or said to come back.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// Pauses before the second, third and fourth try.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(200), Duration::from_millis(600), Duration::from_millis(1_500)];
/// A server may ask for a longer pause, up to this.
const LONGEST: Duration = Duration::from_secs(10);

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

    /// The pause before the next try, at least `wished`; `None` when there is none.
    pub(super) fn pause(&mut self, wished: Duration) -> Option<Duration> {
        self.0.next().map(|pause| pause.max(wished)).filter(|pause| *pause <= LONGEST)
    }
}

/// How long a server that is away for now asks to wait.
pub(super) fn asked_for(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    if status != StatusCode::SERVICE_UNAVAILABLE {
        return None;
    }
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
