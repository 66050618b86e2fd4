//! Locks an address out after repeated wrong tokens, without affecting others.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::warn;

use super::token::TokenHash;

/// Different wrong tokens within [`WINDOW`] that lock an address out until the window has passed.
pub(crate) const MAX_FAILURES: usize = 10;
/// How long failures count.
pub(crate) const WINDOW: Duration = Duration::from_secs(60);
/// Lock-outs per window that get a line each in the log. Of more, their number is logged.
const MAX_NOTICES: u32 = 1_000;
/// Addresses tracked at once.
pub(crate) const MAX_ADDRESSES: usize = 4_096;

/// The verdict on a token from an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The token is right and the address is not locked out.
    Right,
    /// The token is wrong.
    Wrong,
    /// The address is locked out for this long. The token is right or wrong.
    Locked(Duration),
}

/// Counts failures per address (per /64 for v6), for a bounded number of addresses.
///
/// The same wrong token counts once: a page that is open with an old token asks with it again and
/// again, and learns nothing from it. When the map is full, the address with the fewest failures is
/// dropped. So an attacker with many addresses evicts its own short records first and locks out no
/// other address.
#[derive(Debug, Default)]
pub(crate) struct Lockout {
    records: Mutex<HashMap<IpAddr, Record>>,
    // The length of `records`, so that a right token takes no lock while there are no failures.
    known: AtomicUsize,
    /// Notices since a time.
    notices: Mutex<Option<(Instant, u32)>>,
}

#[derive(Debug)]
struct Record {
    since: Instant,
    /// The wrong tokens, at most [`MAX_FAILURES`] of them.
    wrong: Vec<TokenHash>,
}

impl Record {
    /// How long the address remains locked out.
    fn locked(&self, now: Instant) -> Option<Duration> {
        let left = WINDOW.saturating_sub(now.saturating_duration_since(self.since));
        (self.wrong.len() >= MAX_FAILURES && !left.is_zero()).then_some(left)
    }

    fn expired(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= WINDOW
    }
}

impl Lockout {
    /// How long `address` remains locked out; `None` if it is not.
    pub(crate) fn locked(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        if self.known.load(Ordering::Acquire) == 0 {
            return None;
        }
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.get(&subject(address))?.locked(now)
    }

    /// The verdict on a right token of `address`. It clears what was counted, unless the address is
    /// locked out.
    pub(crate) fn right(&self, address: IpAddr, now: Instant) -> Verdict {
        if self.known.load(Ordering::Acquire) == 0 {
            return Verdict::Right;
        }
        let subject = subject(address);
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(left) = records.get(&subject).and_then(|record| record.locked(now)) {
            return Verdict::Locked(left);
        }
        records.remove(&subject);
        self.known.store(records.len(), Ordering::Release);
        Verdict::Right
    }

    /// Counts a wrong token of `address` and returns the verdict.
    pub(crate) fn wrong(&self, address: IpAddr, token: TokenHash, now: Instant) -> Verdict {
        let subject = subject(address);
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(left) = records.get(&subject).and_then(|record| record.locked(now)) {
            return Verdict::Locked(left);
        }
        let locks = count(&mut records, subject, token, now);
        self.known.store(records.len(), Ordering::Release);
        if locks {
            self.report(subject, now);
        }
        Verdict::Wrong
    }

    /// Logs the moment, or of very many addresses their number each time that it has doubled.
    fn report(&self, subject: IpAddr, now: Instant) {
        let addresses = self.count_locked(now);
        let seconds = WINDOW.as_secs();
        if addresses <= MAX_NOTICES {
            warn!(code = "address_locked_out", client = %subject, seconds, "too many wrong tokens");
        } else if addresses.is_power_of_two() {
            warn!(
                code = "addresses_locked_out",
                client = %subject,
                addresses,
                seconds,
                "too many wrong tokens of many addresses; this is the latest of them"
            );
        }
    }

    /// Counts an address that is locked out; the number of those in this window.
    fn count_locked(&self, now: Instant) -> u32 {
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        let current = notices.filter(|(since, _)| now.saturating_duration_since(*since) < WINDOW);
        let (since, before) = current.unwrap_or((now, 0));
        let addresses = before.saturating_add(1);
        *notices = Some((since, addresses));
        addresses
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.records.lock().unwrap().len()
    }
}

/// Counts a wrong token. Whether that locks the address out.
fn count(
    records: &mut HashMap<IpAddr, Record>,
    subject: IpAddr,
    token: TokenHash,
    now: Instant,
) -> bool {
    if let Some(record) = records.get_mut(&subject).filter(|record| !record.expired(now)) {
        if record.wrong.contains(&token) {
            return false;
        }
        record.wrong.push(token);
        return record.locked(now).is_some();
    }
    if records.len() >= MAX_ADDRESSES && !records.contains_key(&subject) {
        records.retain(|_, record| !record.expired(now));
        let least = records.iter().min_by_key(|(_, record)| (record.wrong.len(), record.since));
        let least = least.map(|(subject, _)| *subject);
        if let Some(least) = least.filter(|_| records.len() >= MAX_ADDRESSES) {
            records.remove(&least);
        }
    }
    records.insert(subject, Record { since: now, wrong: vec![token] });
    false
}

/// What limits apply to: the address, or the /64 of a v6 client, which owns all of it.
pub(crate) fn subject(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) >> 64 << 64).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests;
