//! Logs when the calls of a thread begin to fail and when they succeed again, instead of once per
//! call.

use std::error::Error as _;
use std::time::{Duration, Instant};

use simops::Error;
use tracing::{info, warn};

/// How long calls must succeed for an outage to be over. On a disk that is nearly full, small writes
/// succeed between large ones that fail.
const RECOVERED_AFTER: Duration = Duration::from_secs(10);
/// Different errors of one outage that are logged.
const MAX_DETAILS: usize = 4;

/// Whether the calls of a thread fail.
pub(crate) struct Outage {
    calls: &'static str,
    current: Option<Current>,
}

struct Current {
    last_failure: Instant,
    logged: Vec<String>,
}

impl Outage {
    /// No outage of `calls`: `reads` or `writes`.
    pub(crate) fn new(calls: &'static str) -> Self {
        Self { calls, current: None }
    }

    /// A call failed. Logs the first failure of an outage, and the first of each other error.
    pub(crate) fn failed(&mut self, error: &Error) {
        if self.begins(error, Instant::now()) {
            let calls = self.calls;
            warn!(code = "database_failing", calls, %error, cause = ?error.source(), "database calls fail");
        }
    }

    /// A call succeeded.
    pub(crate) fn recovered(&mut self) {
        if self.current.is_some() && self.ends(Instant::now()) {
            info!(calls = self.calls, "database calls succeed again");
        }
    }

    /// Notes a failure; whether it is logged.
    fn begins(&mut self, error: &Error, now: Instant) -> bool {
        let current =
            self.current.get_or_insert_with(|| Current { last_failure: now, logged: Vec::new() });
        current.last_failure = now;
        let is_new = !current.logged.iter().any(|logged| logged == error.detail());
        let is_logged = is_new && current.logged.len() < MAX_DETAILS;
        if is_logged {
            current.logged.push(error.detail().to_owned());
        }
        is_logged
    }

    /// Notes a success; whether it ends the outage.
    fn ends(&mut self, now: Instant) -> bool {
        let is_over = |current: &mut Current| {
            now.saturating_duration_since(current.last_failure) >= RECOVERED_AFTER
        };
        self.current.take_if(is_over).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_logged_when_it_begins_and_when_it_ends() {
        let (mut outage, start) = (Outage::new("writes"), Instant::now());
        let (full, locked) = (Error::unavailable("full"), Error::unavailable("locked"));
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(outage.begins(&full, at(0)));
        for second in 1..30 {
            assert!(!outage.ends(at(second)), "small writes succeed");
            assert!(!outage.begins(&full, at(second)));
            assert_eq!(outage.begins(&locked, at(second)), second == 1);
        }
        assert!(!outage.ends(at(38)));
        assert!(outage.ends(at(39)));
        assert!(!outage.ends(at(60)));
        assert!(outage.begins(&full, at(61)));
    }
}
