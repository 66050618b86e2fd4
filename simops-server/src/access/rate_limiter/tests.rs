//! Rates of one address.

use proptest::prelude::*;

use super::*;

#[test]
fn a_burst_then_a_steady_rate_per_address() {
    let (limiter, start) = (RateLimiter::per_minute(60), Instant::now());
    let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
    for _ in 0..60 {
        assert_eq!(limiter.try_acquire(one, start), Ok(()));
    }
    assert_eq!(limiter.try_acquire(one, start), Err(Duration::from_secs(1)));
    assert_eq!(limiter.try_acquire(other, start), Ok(()));
    assert_eq!(limiter.try_acquire(one, start + Duration::from_secs(1)), Ok(()));
    assert!(limiter.try_acquire(one, start + Duration::from_secs(1)).is_err());
}

#[test]
fn many_addresses_do_not_grow_memory() {
    let (limiter, now) = (RateLimiter::per_minute(60), Instant::now());
    for address in 0..40_000_u32 {
        assert_eq!(limiter.try_acquire(IpAddr::from(address.to_be_bytes()), now), Ok(()));
    }
    assert_eq!(limiter.full_at.lock().unwrap().len(), MAX_ADDRESSES);
}

proptest! {
    #[test]
    fn no_minute_sees_more_than_two_bursts(
        per_minute in 1_u32..200,
        pauses in proptest::collection::vec(0_u64..3_000, 1..300),
    ) {
        let limiter = RateLimiter::per_minute(per_minute);
        let address = IpAddr::from([192, 0, 2, 1]);
        let mut now = Instant::now();
        let mut taken = Vec::new();
        for pause in pauses {
            now += Duration::from_millis(pause);
            match limiter.try_acquire(address, now) {
                Ok(()) => taken.push(now),
                Err(wait) => {
                    prop_assert!(wait <= Duration::from_secs(60));
                    prop_assert!(!taken.is_empty());
                }
            }
            let minute = taken.iter().filter(|at| now - **at < Duration::from_secs(60));
            prop_assert!(minute.count() <= 2 * per_minute as usize);
        }
    }
}
