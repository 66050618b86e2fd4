//! Addresses from which the token was right.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::lockout::subject;

/// How long an address stays known after its last right token.
const LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Addresses kept at once.
const MAX_ADDRESSES: usize = 4_096;
/// How old an entry must be before it is renewed: most requests change nothing.
const RENEWAL: Duration = Duration::from_secs(60 * 60);

/// The addresses (the /64 of v6 ones) from which the token was right in the last 30 days: the newest
/// 4,096.
#[derive(Debug, Default)]
pub(crate) struct KnownAddresses(Mutex<HashMap<IpAddr, Instant>>);

impl KnownAddresses {
    /// Whether the token was right from `address` within 30 days.
    pub(crate) fn contains(&self, address: IpAddr, now: Instant) -> bool {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(&subject(address)).is_some_and(|last| age(*last, now) < LIFETIME)
    }

    /// Notes that the token was right from `address`.
    pub(crate) fn insert(&self, address: IpAddr, now: Instant) {
        let subject = subject(address);
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.get(&subject).is_some_and(|last| age(*last, now) < RENEWAL) {
            return;
        }
        if seen.len() >= MAX_ADDRESSES && !seen.contains_key(&subject) {
            let oldest = seen.iter().min_by_key(|(_, last)| **last).map(|(address, _)| *address);
            oldest.map(|address| seen.remove(&address));
        }
        seen.insert(subject, now);
    }
}

fn age(last: Instant, now: Instant) -> Duration {
    now.saturating_duration_since(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_known_for_thirty_days() {
        let (known, start) = (KnownAddresses::default(), Instant::now());
        known.insert(ip("203.0.113.9"), start);
        assert!(known.contains(ip("203.0.113.9"), start + LIFETIME - Duration::from_secs(1)));
        assert!(!known.contains(ip("203.0.113.9"), start + LIFETIME));
        assert!(!known.contains(ip("203.0.113.8"), start));
        known.insert(ip("203.0.113.9"), start + LIFETIME / 2);
        assert!(known.contains(ip("203.0.113.9"), start + LIFETIME));
    }

    #[test]
    fn the_newest_addresses_are_kept() {
        let (known, start) = (KnownAddresses::default(), Instant::now());
        for n in 0..=MAX_ADDRESSES {
            let n = u32::try_from(n).unwrap();
            known.insert(
                IpAddr::from((0x0a00_0000 + n).to_be_bytes()),
                start + Duration::from_secs(n.into()),
            );
        }
        let now = start + Duration::from_secs(MAX_ADDRESSES as u64);
        assert!(!known.contains(ip("10.0.0.0"), now));
        assert!(known.contains(ip("10.0.0.1"), now));
        assert!(known.contains(ip("10.0.16.0"), now));
    }
}
