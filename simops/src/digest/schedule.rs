//! The weekly schedule of digests.

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};

/// A weekly time in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// Whether digests are drafted on schedule.
    pub enabled: bool,
    /// Day of the week: 0 is Monday, 6 is Sunday.
    pub weekday: i8,
    /// Hour, 0 to 23.
    pub hour: i8,
    /// Minute, 0 to 59.
    pub minute: i8,
    /// The number of hours after the scheduled time within which a missed digest is still drafted.
    pub grace_hours: i64,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { enabled: true, weekday: 0, hour: 15, minute: 0, grace_hours: 48 }
    }
}

impl Schedule {
    /// The anchor date of the digest that is due at `now`, whether or not it exists already.
    pub fn due(&self, now: Timestamp) -> Option<Date> {
        let slot = self.slot_before(now).filter(|_| self.enabled)?;
        let late = now.duration_since(slot);
        let date = TimeZone::UTC.to_datetime(slot).date();
        (late <= SignedDuration::from_hours(self.grace_hours)).then_some(date)
    }

    /// The time from `now` until the next scheduled time; `None` if the schedule is disabled.
    pub fn next_after(&self, now: Timestamp) -> Option<SignedDuration> {
        let slot = self.slot_before(now).filter(|_| self.enabled)?;
        let next = slot.checked_add(SignedDuration::from_hours(7 * 24)).ok()?;
        Some(next.duration_since(now))
    }

    /// The latest scheduled time at or before `now`.
    fn slot_before(&self, now: Timestamp) -> Option<Timestamp> {
        let weekday = Weekday::from_monday_zero_offset(self.weekday).ok()?;
        let today = TimeZone::UTC.to_datetime(now).date();
        let days = today.weekday().since(weekday);
        let scheduled = |date: Date| {
            let time = date.at(self.hour, self.minute, 0, 0);
            time.to_zoned_datetime(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
        };
        let date = today.checked_sub(Span::new().days(i64::from(days))).ok()?;
        match scheduled(date)? {
            slot if slot <= now => Some(slot),
            // Scheduled for later today.
            _ => scheduled(date.checked_sub(Span::new().days(7)).ok()?),
        }
    }
}
