//! The weekly schedule of digests.

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};

use crate::clock::day_of;

/// A weekly time in UTC. With the feature `clap`, use it with `#[command(flatten)]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
pub struct Schedule {
    /// Whether a weekly digest is drafted on schedule; default true.
    #[cfg_attr(feature = "clap", arg(long = "archive-weekly-draft-enabled",
        env = "ARCHIVE_WEEKLY_DRAFT_ENABLED", hide_env_values = true, value_name = "BOOL",
        default_value_t = Schedule::default().enabled, hide_default_value = true,
        action = clap::ArgAction::Set, value_parser = parse_flag))]
    pub enabled: bool,
    /// Day of the week: 0 is Monday (default), 6 is Sunday.
    #[cfg_attr(feature = "clap", arg(long = "archive-weekly-draft-weekday-utc",
        env = "ARCHIVE_WEEKLY_DRAFT_WEEKDAY_UTC", hide_env_values = true, value_name = "DAY",
        default_value_t = Schedule::default().weekday, hide_default_value = true,
        value_parser = clap::value_parser!(i8).range(0..=6)))]
    pub weekday: i8,
    /// Hour of the day in UTC; default 15.
    #[cfg_attr(feature = "clap", arg(long = "archive-weekly-draft-hour-utc",
        env = "ARCHIVE_WEEKLY_DRAFT_HOUR_UTC", hide_env_values = true, value_name = "HOUR",
        default_value_t = Schedule::default().hour, hide_default_value = true,
        value_parser = clap::value_parser!(i8).range(0..=23)))]
    pub hour: i8,
    /// Minute of that hour; default 0.
    #[cfg_attr(feature = "clap", arg(long = "archive-weekly-draft-minute-utc",
        env = "ARCHIVE_WEEKLY_DRAFT_MINUTE_UTC", hide_env_values = true, value_name = "MINUTE",
        default_value_t = Schedule::default().minute, hide_default_value = true,
        value_parser = clap::value_parser!(i8).range(0..=59)))]
    pub minute: i8,
    /// Hours after the scheduled time within which a missed digest is still drafted; default 48.
    #[cfg_attr(feature = "clap", arg(long = "archive-weekly-draft-grace-hours",
        env = "ARCHIVE_WEEKLY_DRAFT_GRACE_HOURS", hide_env_values = true, value_name = "HOURS",
        default_value_t = Schedule::default().grace_hours, hide_default_value = true,
        value_parser = clap::value_parser!(i64).range(0..=168)))]
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
        (late <= SignedDuration::from_hours(self.grace_hours)).then(|| day_of(slot))
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
        let today = day_of(now);
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

#[cfg(feature = "clap")]
fn parse_flag(text: &str) -> Result<bool, String> {
    let flag = text.trim().to_ascii_lowercase().parse();
    flag.map_err(|_| "must be true or false".to_owned())
}
