//! When a digest is due by itself: once a week, and within a grace when the moment was missed.

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};

/// One moment a week, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// Whether there is one.
    pub enabled: bool,
    /// Days after Monday, 0 to 6.
    pub weekday: i8,
    /// 0 to 23.
    pub hour: i8,
    /// 0 to 59.
    pub minute: i8,
    /// For so many hours after the moment a digest that is missing is made up.
    pub grace_hours: i64,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { enabled: true, weekday: 0, hour: 15, minute: 0, grace_hours: 48 }
    }
}

impl Schedule {
    /// The anchor date whose digest is due at `now`, whether or not it was made already.
    pub fn due(&self, now: Timestamp) -> Option<Date> {
        let slot = self.slot_before(now).filter(|_| self.enabled)?;
        let late = now.duration_since(slot);
        let date = TimeZone::UTC.to_datetime(slot).date();
        (late <= SignedDuration::from_hours(self.grace_hours)).then_some(date)
    }

    /// How long it is from `now` to the next moment at which one is due.
    pub fn next_after(&self, now: Timestamp) -> Option<SignedDuration> {
        let slot = self.slot_before(now).filter(|_| self.enabled)?;
        let next = slot.checked_add(SignedDuration::from_hours(7 * 24)).ok()?;
        Some(next.duration_since(now))
    }

    /// The last moment of the schedule at or before `now`.
    fn slot_before(&self, now: Timestamp) -> Option<Timestamp> {
        let weekday = Weekday::from_monday_zero_offset(self.weekday).ok()?;
        let today = TimeZone::UTC.to_datetime(now).date();
        let days = today.weekday().since(weekday);
        let moment = |date: Date| {
            let time = date.at(self.hour, self.minute, 0, 0);
            time.to_zoned_datetime(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
        };
        let date = today.checked_sub(Span::new().days(i64::from(days))).ok()?;
        match moment(date)? {
            slot if slot <= now => Some(slot),
            // It is today, and still to come.
            _ => moment(date.checked_sub(Span::new().days(7)).ok()?),
        }
    }
}
