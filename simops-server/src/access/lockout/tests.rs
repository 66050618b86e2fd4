//! Who is locked out, and for how long.

use std::collections::HashSet;

use proptest::prelude::*;

use super::super::token::hash;
use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn guess(number: usize) -> TokenHash {
    hash(&number.to_be_bytes())
}

/// As many different wrong tokens as lock an address out.
fn lock_out(lockout: &Lockout, address: IpAddr, now: Instant) {
    for number in 0..MAX_FAILURES {
        assert_eq!(lockout.wrong(address, guess(number), now), Verdict::Wrong);
    }
}

#[test]
fn ten_wrong_tokens_lock_an_address_until_the_window_has_passed() {
    let (lockout, start) = (Lockout::default(), Instant::now());
    let (guesser, operator) = (ip("203.0.113.9"), ip("203.0.113.10"));
    lock_out(&lockout, guesser, start);
    assert_eq!(lockout.right(guesser, start), Verdict::Locked(WINDOW));
    assert_eq!(lockout.locked(guesser, start), Some(WINDOW));
    assert_eq!(lockout.right(operator, start), Verdict::Right);
    // Further attempts do not prolong it.
    let later = start + WINDOW - Duration::from_secs(1);
    let second = Verdict::Locked(Duration::from_secs(1));
    assert_eq!(lockout.wrong(guesser, guess(99), later), second);
    assert_eq!(lockout.right(guesser, start + WINDOW), Verdict::Right);
}

#[test]
fn one_wrong_token_counts_once_however_often_it_is_sent() {
    let (lockout, now, address) = (Lockout::default(), Instant::now(), ip("203.0.113.9"));
    for _ in 0..1_000 {
        assert_eq!(lockout.wrong(address, guess(1), now), Verdict::Wrong);
    }
    assert_eq!(lockout.right(address, now), Verdict::Right);
}

#[test]
fn a_right_token_clears_the_record() {
    let (lockout, now, address) = (Lockout::default(), Instant::now(), ip("203.0.113.9"));
    for round in 0..5 {
        for number in 1..MAX_FAILURES {
            let guess = guess(round * MAX_FAILURES + number);
            assert_eq!(lockout.wrong(address, guess, now), Verdict::Wrong);
        }
        assert_eq!(lockout.right(address, now), Verdict::Right);
    }
    assert_eq!(lockout.len(), 0);
}

#[test]
fn a_v6_client_is_its_64_bit_network() {
    let (lockout, now) = (Lockout::default(), Instant::now());
    for host in 0..MAX_FAILURES {
        lockout.wrong(ip(&format!("2001:db8::{host:x}")), guess(host), now);
    }
    assert!(lockout.locked(ip("2001:db8::ffff"), now).is_some());
    assert_eq!(lockout.locked(ip("2001:db8:0:1::1"), now), None);
}

#[test]
fn many_addresses_neither_grow_memory_nor_free_a_locked_one() {
    let (lockout, now, guesser) = (Lockout::default(), Instant::now(), ip("203.0.113.9"));
    lock_out(&lockout, guesser, now);
    for address in 0..6_000_u32 {
        lockout.wrong(IpAddr::from((0x0a00_0000 + address).to_be_bytes()), guess(0), now);
    }
    assert_eq!(lockout.len(), MAX_ADDRESSES);
    assert!(lockout.locked(guesser, now).is_some());
}

proptest! {
    #[test]
    fn no_address_is_locked_out_by_others(
        attempts in proptest::collection::vec(
            (0_u8..6, proptest::option::of(0_usize..30), 0_u64..20), 0..200),
    ) {
        let lockout = Lockout::default();
        let mut now = Instant::now();
        let mut own: HashMap<u8, Vec<(Instant, usize)>> = HashMap::new();
        for (address, wrong, pause) in attempts {
            now += Duration::from_secs(pause);
            let client = IpAddr::from([192, 0, 2, address]);
            let verdict = match wrong {
                Some(number) => lockout.wrong(client, guess(number), now),
                None => lockout.right(client, now),
            };
            let failures = own.entry(address).or_default();
            let recent: HashSet<_> = failures
                .iter()
                .filter_map(|(at, number)| (now - *at < WINDOW).then_some(*number))
                .collect();
            match verdict {
                Verdict::Right => {
                    prop_assert_eq!(wrong, None);
                    failures.clear();
                }
                Verdict::Wrong => failures.push((now, wrong.unwrap())),
                Verdict::Locked(left) => {
                    prop_assert!(recent.len() >= MAX_FAILURES);
                    prop_assert!(left <= WINDOW);
                }
            }
            // However the attempts are spread, at most two windows' worth get an answer.
            prop_assert!(recent.len() <= 2 * MAX_FAILURES);
        }
    }
}
