//! Waiting for conditions, and measuring what the contract promises about time.

use std::time::{Duration, Instant};

/// How long a condition is waited for. Generous: it is reached in seconds on an idle machine, and
/// tests also pass on two cores that other programs keep busy.
pub const LIMIT: Duration = Duration::from_secs(120);

const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Polls `check` until it returns something.
///
/// # Panics
/// After [`LIMIT`]; `what` names the condition.
pub async fn eventually<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {LIMIT:?}: {what}");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Like [`eventually`], for code that blocks its thread.
///
/// # Panics
/// After [`LIMIT`]; `what` names the condition.
pub fn eventually_blocking<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {LIMIT:?}: {what}");
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// Measures durations that the contract promises, without the time for which programs waited for a
/// processor. An idle machine checks all of a promise, a busy one less.
#[derive(Debug)]
pub struct Stopwatch {
    began: Instant,
    stalled_before: Duration,
}

impl Stopwatch {
    /// One that starts now.
    pub fn start() -> Self {
        Self { began: Instant::now(), stalled_before: stalled_since_boot() }
    }

    /// The time since the start in which no program had to wait for a processor.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed().saturating_sub(self.stalled())
    }

    /// The time since the start in which some program waited for a processor.
    pub fn stalled(&self) -> Duration {
        stalled_since_boot().saturating_sub(self.stalled_before)
    }

    /// The time since the start.
    pub fn wall_clock(&self) -> Duration {
        self.began.elapsed()
    }
}

/// For how long some program has waited for a processor since the system started; zero where the
/// kernel does not count it.
fn stalled_since_boot() -> Duration {
    let pressure = std::fs::read_to_string("/proc/pressure/cpu").unwrap_or_default();
    let total = pressure.split_once("total=").and_then(|(_, rest)| rest.split_whitespace().next());
    Duration::from_micros(total.and_then(|total| total.parse().ok()).unwrap_or(0))
}
