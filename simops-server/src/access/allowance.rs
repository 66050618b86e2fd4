//! How often an address may come: a steady rate with a burst, for a bounded number of addresses.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::lockout::who;

/// Addresses remembered at once.
const ADDRESSES: usize = 16_384;

/// What addresses (for v6: their /64) may still do.
///
/// Remembers of each only when it will have its whole burst again. When the memory is full, one who
/// has it makes room, or else anyone: forgetting errs in favour of the caller.
#[derive(Debug)]
pub(crate) struct Allowance {
    /// How long an address waits for one more request; zero: no limit.
    interval: Duration,
    /// How long it takes to have a whole burst again.
    burst: Duration,
    full_at: Mutex<HashMap<IpAddr, Instant>>,
}

impl Allowance {
    /// `per_minute` requests, all at once or one after the other; 0 = any number.
    pub(crate) fn per_minute(per_minute: u32) -> Self {
        let burst = Duration::from_secs(60);
        let interval = burst.checked_div(per_minute).unwrap_or_default();
        Self { interval, burst, full_at: Mutex::default() }
    }

    /// Takes one request of `address`, or says how long it has to wait for it.
    pub(crate) fn take(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        if self.interval.is_zero() {
            return Ok(());
        }
        let who = who(address);
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let full = full_at.get(&who).copied().filter(|full| *full > now).unwrap_or(now);
        let next = full + self.interval;
        let over = next.saturating_duration_since(now + self.burst);
        if !over.is_zero() {
            return Err(over);
        }
        if full_at.len() >= ADDRESSES && !full_at.contains_key(&who) {
            full_at.retain(|_, full| *full > now);
        }
        if full_at.len() >= ADDRESSES
            && !full_at.contains_key(&who)
            && let Some(any) = full_at.keys().next().copied()
        {
            full_at.remove(&any);
        }
        full_at.insert(who, next);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_burst_then_a_steady_rate_per_address() {
        let (allowance, start) = (Allowance::per_minute(60), Instant::now());
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        for _ in 0..60 {
            assert_eq!(allowance.take(one, start), Ok(()));
        }
        assert_eq!(allowance.take(one, start), Err(Duration::from_secs(1)));
        assert_eq!(allowance.take(other, start), Ok(()));
        assert_eq!(allowance.take(one, start + Duration::from_secs(1)), Ok(()));
        assert!(allowance.take(one, start + Duration::from_secs(1)).is_err());
    }

    #[test]
    fn a_flood_of_addresses_does_not_grow_memory() {
        let (allowance, now) = (Allowance::per_minute(60), Instant::now());
        for address in 0..40_000_u32 {
            assert_eq!(allowance.take(IpAddr::from(address.to_be_bytes()), now), Ok(()));
        }
        assert_eq!(allowance.full_at.lock().unwrap().len(), ADDRESSES);
    }

    proptest! {
        #[test]
        fn no_minute_sees_more_than_two_bursts(
            per_minute in 1_u32..200,
            pauses in proptest::collection::vec(0_u64..3_000, 1..300),
        ) {
            let allowance = Allowance::per_minute(per_minute);
            let address = IpAddr::from([192, 0, 2, 1]);
            let mut now = Instant::now();
            let mut taken = Vec::new();
            for pause in pauses {
                now += Duration::from_millis(pause);
                match allowance.take(address, now) {
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
