//! Parses points in time as people write them.

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use crate::clock::{begin_of, truncate_to_micros};
use crate::{Error, Result};

/// The time that `text` names: a time (`2026-03-01T12:00:00Z`), a date (its start, UTC), or a
/// duration before `now` (`7d`, `36h`, `1w 2d`).
///
/// # Errors
/// Returns `Invalid` for other text and for times out of range.
///
/// ```
/// let now = "2026-03-08T12:00:00Z".parse()?;
/// let since = |text| simops::ops::since(text, now).map(|at| at.to_string());
/// assert_eq!(since("7d")?, "2026-03-01T12:00:00Z");
/// assert_eq!(since("2026-03-01")?, "2026-03-01T00:00:00Z");
/// assert_eq!(since("2026-03-01T09:00:00+02:00")?, "2026-03-01T07:00:00Z");
/// assert!(since("yesterday").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn since(text: &str, now: Timestamp) -> Result<Timestamp> {
    let text = text.trim();
    let moment = text.parse().ok().or_else(|| midnight(text)).or_else(|| before(text, now));
    moment.map(truncate_to_micros).ok_or_else(|| {
        Error::invalid(
            "since",
            "must be a time (2026-03-01T12:00:00Z), a date (2026-03-01) or a duration (7d, 36h)",
        )
    })
}

fn midnight(date: &str) -> Option<Timestamp> {
    // A longer text is a time without an offset, which is ambiguous.
    begin_of(date.parse().ok().filter(|_| date.len() == "2026-03-01".len())?)
}

fn before(duration: &str, now: Timestamp) -> Option<Timestamp> {
    // `7d ago` is a negative duration and means the same.
    let span = duration.parse::<Span>().ok()?.abs();
    Some(now.to_zoned_datetime(TimeZone::UTC).checked_sub(span).ok()?.timestamp())
}
