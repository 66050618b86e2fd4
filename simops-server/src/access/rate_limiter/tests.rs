//! Rates of one key.

use proptest::prelude::*;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_burst_then_a_steady_rate_per_key() {
    let (limiter, start) = (RateLimiter::per_minute(60), Instant::now());
    for _ in 0..60 {
        assert_eq!(limiter.try_acquire("one", start), Ok(()));
    }
    assert_eq!(limiter.try_acquire("one", start), Err(Duration::from_secs(1)));
    assert_eq!(limiter.try_acquire("other", start), Ok(()));
    assert_eq!(limiter.try_acquire("one", start + Duration::from_secs(1)), Ok(()));
    assert!(limiter.try_acquire("one", start + Duration::from_secs(1)).is_err());
}

#[test]
fn an_overdrawn_bucket_admits_nothing_until_it_has_refilled() {
    let (limiter, start) = (RateLimiter::per_minute(60), Instant::now());
    assert_eq!(limiter.check((), 60, start), Ok(()));
    // More than a bucket holds waits for a full one.
    assert_eq!(limiter.check((), 1_000, start), Ok(()));
    limiter.take((), 90, start);
    assert_eq!(limiter.check((), 1, start), Err(Duration::from_secs(31)));
    assert_eq!(limiter.check((), 1_000, start), Err(Duration::from_secs(90)));
    assert_eq!(limiter.check((), 1, start + Duration::from_secs(31)), Ok(()));
}

#[test]
fn zero_means_no_limit() {
    let (limiter, now) = (RateLimiter::per_minute(0), Instant::now());
    limiter.take((), u64::MAX, now);
    assert_eq!(limiter.check((), u64::MAX, now), Ok(()));
    assert_eq!(limiter.try_acquire((), now), Ok(()));
}

#[test]
fn many_keys_do_not_grow_memory() {
    let (limiter, now) = (RateLimiter::per_minute(60), Instant::now());
    for key in 0..40_000 {
        assert_eq!(limiter.try_acquire(key, now), Ok(()));
    }
    assert_eq!(limiter.lock().len(), MAX_KEYS);
}

proptest! {
    #[test]
    fn no_minute_sees_more_than_two_bursts(
        per_minute in 1_u64..200,
        pauses in proptest::collection::vec(0_u64..3_000, 1..300),
    ) {
        let limiter = RateLimiter::per_minute(per_minute);
        let mut now = Instant::now();
        let mut taken = Vec::new();
        for pause in pauses {
            now += Duration::from_millis(pause);
            match limiter.try_acquire((), now) {
                Ok(()) => taken.push(now),
                Err(wait) => {
                    prop_assert!(wait <= MINUTE);
                    prop_assert!(!taken.is_empty());
                }
            }
            let minute = taken.iter().filter(|at| now - **at < MINUTE);
            prop_assert!(minute.count() as u64 <= 2 * per_minute);
        }
    }

    // Pieces of a body are counted as they arrive, so what exceeds the rate is at most what was
    // admitted at once.
    #[test]
    fn whatever_is_overdrawn_the_rate_holds_in_the_long_run(
        per_minute in 1_000_u64..2_000_000,
        bodies in proptest::collection::vec((0_u64..20_000, 1_u64..1_000_000), 1..200),
    ) {
        let limiter = RateLimiter::per_minute(per_minute);
        let start = Instant::now();
        let (mut now, mut taken, mut largest) = (start, 0, 0);
        for (pause, bytes) in bodies {
            now += Duration::from_millis(pause);
            match limiter.check((), bytes, now) {
                Ok(()) => {
                    limiter.take((), bytes / 2, now);
                    limiter.take((), bytes - bytes / 2, now);
                    (taken, largest) = (taken + bytes, largest.max(bytes));
                }
                Err(wait) => prop_assert_eq!(limiter.check((), bytes, now + wait), Ok(())),
            }
            let minutes = (now - start).as_secs_f64() / 60.0;
            let allowed = (minutes + 1.0) * per_minute as f64 + largest as f64;
            prop_assert!(taken as f64 <= allowed + 2.0, "{} of {}", taken, allowed);
        }
    }
}
