//! Waiting for a condition with a deadline, never for luck.

use std::time::{Duration, Instant};

/// Polls `check` until it gives something.
///
/// # Panics
/// When `within` has passed; `what` says what was waited for.
pub async fn eventually<T>(
    what: &str,
    within: Duration,
    mut check: impl AsyncFnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {within:?} in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
