//! Limits the request rate per address, for a bounded number of addresses.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::lockout::subject;

/// Addresses tracked at once.
const MAX_ADDRESSES: usize = 16_384;

/// A token bucket per address (per /64 for v6).
///
/// A bucket is stored as the time at which it will be full. When the map is full, full buckets are
/// dropped, or else an arbitrary one, which errs in favour of its client.
#[derive(Debug)]
pub(crate) struct RateLimiter {
    /// Time per request at the steady rate; zero means no limit.
    interval: Duration,
    /// Time that refills an empty bucket.
    burst: Duration,
    full_at: Mutex<HashMap<IpAddr, Instant>>,
}

impl RateLimiter {
    /// Allows `per_minute` requests, also as one burst; 0 means no limit.
    pub(crate) fn per_minute(per_minute: u32) -> Self {
        let burst = Duration::from_secs(60);
        let interval = burst.checked_div(per_minute).unwrap_or_default();
        Self { interval, burst, full_at: Mutex::default() }
    }

    /// Takes one request of `address`.
    ///
    /// # Errors
    /// How long the address must wait for its next request.
    pub(crate) fn try_acquire(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        if self.interval.is_zero() {
            return Ok(());
        }
        let subject = subject(address);
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let full = full_at.get(&subject).copied().filter(|full| *full > now).unwrap_or(now);
        let next = full + self.interval;
        let over = next.saturating_duration_since(now + self.burst);
        if !over.is_zero() {
            return Err(over);
        }
        if full_at.len() >= MAX_ADDRESSES && !full_at.contains_key(&subject) {
            full_at.retain(|_, full| *full > now);
            let any = full_at.keys().next().copied();
            if let Some(any) = any.filter(|_| full_at.len() >= MAX_ADDRESSES) {
                full_at.remove(&any);
            }
        }
        full_at.insert(subject, next);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
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
}
