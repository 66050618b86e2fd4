//! Limits rates per key, such as an address, for a bounded number of keys.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Keys tracked at once.
const MAX_KEYS: usize = 16_384;
/// The time that refills an empty bucket.
const BURST: Duration = Duration::from_secs(60);

/// A token bucket per key: a number of units per minute, also as one burst.
///
/// What is only known after it was admitted, such as the bytes of a body, may overdraw a bucket. Then
/// nothing is admitted until the bucket has made up for it.
///
/// A bucket is stored as the time at which it will be full. When the map is full, full buckets are
/// dropped, or else an arbitrary one, which errs in favour of its client.
#[derive(Debug)]
pub(crate) struct RateLimiter<K> {
    /// Zero means no limit.
    per_minute: u64,
    full_at: Mutex<HashMap<K, Instant>>,
}

impl<K: Copy + Eq + Hash> RateLimiter<K> {
    /// Allows `per_minute` units; 0 means no limit.
    pub(crate) fn per_minute(per_minute: u64) -> Self {
        Self { per_minute, full_at: Mutex::default() }
    }

    /// Whether the bucket of `key` holds `units`, or is full.
    ///
    /// # Errors
    /// How long it takes to refill that far.
    pub(crate) fn check(&self, key: K, units: u64, now: Instant) -> Result<(), Duration> {
        if self.per_minute == 0 {
            return Ok(());
        }
        self.check_in(&self.lock(), key, units, now)
    }

    /// Takes `units` from the bucket of `key`, also more than it holds.
    pub(crate) fn take(&self, key: K, units: u64, now: Instant) {
        if self.per_minute > 0 {
            self.take_from(&mut self.lock(), key, units, now);
        }
    }

    /// Takes one unit if there is one.
    ///
    /// # Errors
    /// How long to wait for the next one.
    pub(crate) fn try_acquire(&self, key: K, now: Instant) -> Result<(), Duration> {
        if self.per_minute == 0 {
            return Ok(());
        }
        let mut full_at = self.lock();
        self.check_in(&full_at, key, 1, now)?;
        self.take_from(&mut full_at, key, 1, now);
        Ok(())
    }

    fn check_in(
        &self,
        full_at: &HashMap<K, Instant>,
        key: K,
        units: u64,
        now: Instant,
    ) -> Result<(), Duration> {
        let after = full_time(full_at, key, now) + self.time_of(units.min(self.per_minute));
        let wait = after.saturating_duration_since(now + BURST);
        if wait.is_zero() { Ok(()) } else { Err(wait) }
    }

    fn take_from(&self, full_at: &mut HashMap<K, Instant>, key: K, units: u64, now: Instant) {
        if full_at.len() >= MAX_KEYS && !full_at.contains_key(&key) {
            full_at.retain(|_, full| *full > now);
            let any = full_at.keys().next().copied();
            if let Some(any) = any.filter(|_| full_at.len() >= MAX_KEYS) {
                full_at.remove(&any);
            }
        }
        let full = full_time(full_at, key, now) + self.time_of(units);
        full_at.insert(key, full);
    }

    /// How long it takes to refill `units`.
    fn time_of(&self, units: u64) -> Duration {
        let nanos = BURST.as_nanos() * u128::from(units) / u128::from(self.per_minute.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Instant>> {
        self.full_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When the bucket of `key` will be full.
fn full_time<K: Copy + Eq + Hash>(full_at: &HashMap<K, Instant>, key: K, now: Instant) -> Instant {
    full_at.get(&key).copied().filter(|full| *full > now).unwrap_or(now)
}

#[cfg(test)]
mod tests;
