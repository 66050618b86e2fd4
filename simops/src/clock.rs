//! Time sources. Pure functions take the current time as an argument; use cases and workers read a
//! [`Clock`].

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// A source of the current UTC time.
///
/// # Contract
/// Timestamps have microsecond precision, so that a stored timestamp equals the one that a decision
/// was based on. Implementations must not fail or block.
///
/// # Examples
/// ```
/// use simops::{Clock, SystemClock};
///
/// let now = SystemClock.now();
/// assert_eq!(now, simops::clock::truncate_to_micros(now));
/// ```
pub trait Clock: Send + Sync {
    /// The current time.
    fn now(&self) -> Timestamp;
}

/// The operating system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        truncate_to_micros(Timestamp::now())
    }
}

/// `at` truncated to whole microseconds.
pub fn truncate_to_micros(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}

/// The moment at which `day` begins, UTC; `None` if it is out of range.
pub fn begin_of(day: Date) -> Option<Timestamp> {
    Some(day.to_zoned_datetime(TimeZone::UTC).ok()?.timestamp())
}

/// The UTC date of `at`. Budgets and rollups are kept per UTC day.
pub fn day_of(at: Timestamp) -> Date {
    TimeZone::UTC.to_datetime(at).date()
}
