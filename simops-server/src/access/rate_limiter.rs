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
mod tests;
