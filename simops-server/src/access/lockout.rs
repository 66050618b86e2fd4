//! Guessing tokens is slow: after a few failures an address waits, and only that address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So many wrong tokens within [`WINDOW`] lock an address out until the window has passed.
pub(crate) const FAILURES: u32 = 10;
/// How long failures are remembered.
pub(crate) const WINDOW: Duration = Duration::from_secs(60);
/// Addresses remembered at once.
pub(crate) const ADDRESSES: usize = 4_096;

/// What a token from an address is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is right, and the address may use it.
    Right,
    /// It is wrong.
    Wrong,
    /// The address has guessed too often; it may try again after this.
    Locked(Duration),
}

/// The failures per address (per /64 for v6), of a bounded number of addresses.
///
/// When the memory is full, whoever failed least makes room, so that an attacker with many
/// addresses forgets his own short records first; nobody else is ever locked out by it.
#[derive(Debug, Default)]
pub(crate) struct Lockout {
    records: Mutex<HashMap<IpAddr, Record>>,
    // Mirrors the length, so that a right token takes no lock while nobody has failed.
    known: AtomicUsize,
}

#[derive(Debug, Clone, Copy)]
struct Record {
    since: Instant,
    failures: u32,
}

impl Record {
    /// How long the address stays locked out.
    fn locked(self, now: Instant) -> Option<Duration> {
        let left = WINDOW.saturating_sub(now.saturating_duration_since(self.since));
        (self.failures >= FAILURES && !left.is_zero()).then_some(left)
    }

    fn expired(self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= WINDOW
    }
}

impl Lockout {
    /// How long `address` stays locked out, if it is.
    pub(crate) fn locked(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        if self.known.load(Ordering::Acquire) == 0 {
            return None;
        }
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.get(&who(address))?.locked(now)
    }

    /// Counts a token of `address` and says what it is worth.
    pub(crate) fn judge(&self, address: IpAddr, right: bool, now: Instant) -> Verdict {
        if right && self.known.load(Ordering::Acquire) == 0 {
            return Verdict::Right;
        }
        let who = who(address);
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(left) = records.get(&who).and_then(|record| record.locked(now)) {
            return Verdict::Locked(left);
        }
        if right {
            records.remove(&who);
        } else {
            count(&mut records, who, now);
        }
        self.known.store(records.len(), Ordering::Release);
        if right { Verdict::Right } else { Verdict::Wrong }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.records.lock().unwrap().len()
    }
}

fn count(records: &mut HashMap<IpAddr, Record>, who: IpAddr, now: Instant) {
    if let Some(record) = records.get_mut(&who).filter(|record| !record.expired(now)) {
        record.failures += 1;
        return;
    }
    if records.len() >= ADDRESSES && !records.contains_key(&who) {
        records.retain(|_, record| !record.expired(now));
    }
    if records.len() >= ADDRESSES && !records.contains_key(&who) {
        let least = records.iter().min_by_key(|(_, record)| (record.failures, record.since));
        if let Some(least) = least.map(|(who, _)| *who) {
            records.remove(&least);
        }
    }
    records.insert(who, Record { since: now, failures: 1 });
}

/// A v6 client owns a whole /64, so that is what counts.
pub(super) fn who(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) >> 64 << 64).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn ten_wrong_tokens_lock_an_address_until_the_window_has_passed() {
        let (lockout, start) = (Lockout::default(), Instant::now());
        let (guesser, operator) = (ip("203.0.113.9"), ip("203.0.113.10"));
        for _ in 0..FAILURES {
            assert_eq!(lockout.judge(guesser, false, start), Verdict::Wrong);
        }
        assert_eq!(lockout.judge(guesser, true, start), Verdict::Locked(WINDOW));
        assert_eq!(lockout.locked(guesser, start), Some(WINDOW));
        assert_eq!(lockout.judge(operator, true, start), Verdict::Right);
        // Trying on does not prolong it.
        let later = start + WINDOW - Duration::from_secs(1);
        assert_eq!(lockout.judge(guesser, false, later), Verdict::Locked(Duration::from_secs(1)));
        assert_eq!(lockout.judge(guesser, true, start + WINDOW), Verdict::Right);
    }

    #[test]
    fn a_right_token_clears_the_record() {
        let (lockout, now, address) = (Lockout::default(), Instant::now(), ip("203.0.113.9"));
        for _ in 0..5 {
            for _ in 0..FAILURES - 1 {
                assert_eq!(lockout.judge(address, false, now), Verdict::Wrong);
            }
            assert_eq!(lockout.judge(address, true, now), Verdict::Right);
        }
        assert_eq!(lockout.len(), 0);
    }

    #[test]
    fn a_v6_client_is_its_64_bit_network() {
        let (lockout, now) = (Lockout::default(), Instant::now());
        for host in 0..FAILURES {
            lockout.judge(ip(&format!("2001:db8::{host:x}")), false, now);
        }
        assert!(lockout.locked(ip("2001:db8::ffff"), now).is_some());
        assert_eq!(lockout.locked(ip("2001:db8:0:1::1"), now), None);
    }

    #[test]
    fn a_flood_of_addresses_neither_grows_memory_nor_frees_a_guesser() {
        let (lockout, now, guesser) = (Lockout::default(), Instant::now(), ip("203.0.113.9"));
        for _ in 0..FAILURES {
            lockout.judge(guesser, false, now);
        }
        for address in 0..6_000_u32 {
            lockout.judge(IpAddr::from((0x0a00_0000 + address).to_be_bytes()), false, now);
        }
        assert_eq!(lockout.len(), ADDRESSES);
        assert!(lockout.locked(guesser, now).is_some());
    }

    proptest! {
        #[test]
        fn nobody_is_locked_out_by_others(
            attempts in proptest::collection::vec((0_u8..6, any::<bool>(), 0_u64..20), 0..200),
        ) {
            let lockout = Lockout::default();
            let mut now = Instant::now();
            let mut own: HashMap<u8, Vec<Instant>> = HashMap::new();
            for (address, right, pause) in attempts {
                now += Duration::from_secs(pause);
                let verdict = lockout.judge(IpAddr::from([192, 0, 2, address]), right, now);
                let failures = own.entry(address).or_default();
                let recent = failures.iter().filter(|at| now - **at < WINDOW).count();
                match verdict {
                    Verdict::Right => failures.clear(),
                    Verdict::Wrong => failures.push(now),
                    Verdict::Locked(left) => {
                        prop_assert!(recent >= FAILURES as usize);
                        prop_assert!(left <= WINDOW);
                    }
                }
                prop_assert!(right || verdict != Verdict::Right);
                // However the attempts are spread, at most two windows' worth get an answer.
                prop_assert!(recent <= 2 * FAILURES as usize);
            }
        }
    }
}
