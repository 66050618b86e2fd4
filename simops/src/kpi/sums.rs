//! The sums stored for a day, and how they change when a visitor causes new events.

use jiff::ToSpan;
use jiff::civil::Date;

use super::steps::{KINDS, Kind, Steps};

/// The retention periods that are counted, in days: 1 and 7.
pub const RETENTION_DAYS: [i64; 2] = [1, 7];

/// The sums of one day. A day without events has no sums or only zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DaySums {
    /// Events of each kind.
    pub events: [i64; KINDS],
    /// Distinct visitors of each kind.
    pub visitors: [i64; KINDS],
    /// Distinct visitors who shared in any way.
    pub sharers: i64,
    /// Distinct viewers.
    pub viewers: i64,
    /// Viewers of this day who were viewers again 1 day and 7 days later.
    pub returned: [i64; 2],
}

/// The number of sums in a [`DaySums`].
pub const SUM_FIELDS: usize = 2 * KINDS + 4;

impl DaySums {
    /// The number of events of a kind.
    pub fn events(&self, kind: Kind) -> i64 {
        self.events.get(kind.code()).copied().unwrap_or_default()
    }

    /// The number of distinct visitors with an event of a kind.
    pub fn visitors(&self, kind: Kind) -> i64 {
        self.visitors.get(kind.code()).copied().unwrap_or_default()
    }

    /// Adds one event.
    pub fn count(&mut self, kind: Kind) {
        if let Some(events) = self.events.get_mut(kind.code()) {
            *events += 1;
        }
    }

    /// Adds `events` events.
    pub fn count_many(&mut self, kind: Kind, events: i64) {
        if let Some(sum) = self.events.get_mut(kind.code()) {
            *sum = sum.saturating_add(events);
        }
    }

    /// Adds visitors who caused events of the kinds `steps`, except to the numbers of events and of
    /// returns.
    pub fn add_visitors(&mut self, steps: Steps, visitors: i64) {
        let of = |kinds| if steps.any(kinds) { visitors } else { 0 };
        for (kind, sum) in Kind::ALL.iter().zip(&mut self.visitors) {
            *sum += of(kind.step());
        }
        self.sharers += of(Steps::SHARE);
        self.viewers += of(Steps::VIEWER);
    }

    /// The sums less those of `other`, field by field.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let mut figures = self.to_array();
        figures
            .iter_mut()
            .zip(other.to_array())
            .for_each(|(sum, less)| *sum = sum.saturating_sub(less));
        Self::from_array(&figures)
    }

    /// All sums in a fixed order: events, visitors, sharers, viewers, returned.
    pub fn to_array(&self) -> [i64; SUM_FIELDS] {
        let mut figures = [0; SUM_FIELDS];
        let rest = [self.sharers, self.viewers, self.returned[0], self.returned[1]];
        let all = self.events.iter().chain(&self.visitors).chain(&rest);
        figures.iter_mut().zip(all).for_each(|(figure, value)| *figure = *value);
        figures
    }

    /// The inverse of [`DaySums::to_array`].
    pub fn from_array(figures: &[i64; SUM_FIELDS]) -> Self {
        let mut sums = Self::default();
        let rest =
            [&mut sums.sharers, &mut sums.viewers].into_iter().chain(sums.returned.iter_mut());
        let all = sums.events.iter_mut().chain(sums.visitors.iter_mut()).chain(rest);
        all.zip(figures).for_each(|(value, figure)| *value = *figure);
        sums
    }

    /// Adds two days' sums field by field.
    #[must_use]
    pub fn plus(&self, more: &Self) -> Self {
        let mut figures = self.to_array();
        let more = more.to_array();
        figures.iter_mut().zip(more).for_each(|(sum, more)| *sum = sum.saturating_add(more));
        Self::from_array(&figures)
    }

    /// The names of the sums in the order of [`DaySums::to_array`], as verification reports them.
    pub fn field_names() -> Vec<String> {
        let of = |what| move |kind: &Kind| format!("{} {what}", kind.as_str());
        let rest = ["sharers", "viewers", "d1_returning_users", "d7_returning_users"];
        let kinds = Kind::ALL.iter();
        let all = kinds.clone().map(of("events")).chain(kinds.map(of("visitors")));
        all.chain(rest.map(str::to_owned)).collect()
    }
}

/// Updates the sums after a visitor caused events of the kinds `seen` on `day`, and returns the kinds
/// that are then known for this visitor and day. `steps_on` returns the kinds known so far for a day
/// of this visitor. `update_sums` applies a change to the sums of a day.
///
/// Only kinds that were not known yet change the sums, so applying an event twice has no effect. A
/// return is counted when the second of its two days becomes known, in either order; late events
/// therefore also update the retention of earlier days.
///
/// # Errors
/// Returns the error of `steps_on`. Sums that were updated before the error stay updated, so the
/// caller must discard them.
pub fn apply_steps<E>(
    day: Date,
    seen: Steps,
    mut steps_on: impl FnMut(Date) -> Result<Steps, E>,
    mut update_sums: impl FnMut(Date, &dyn Fn(&mut DaySums)),
) -> Result<Steps, E> {
    let old = steps_on(day)?;
    let new = old | seen;
    if new == old {
        return Ok(new);
    }
    let newly = |steps: Steps| i64::from(!old.any(steps) && new.any(steps));
    update_sums(day, &|sums| {
        for (kind, visitors) in Kind::ALL.iter().zip(&mut sums.visitors) {
            *visitors += newly(kind.step());
        }
        sums.sharers += newly(Steps::SHARE);
        sums.viewers += newly(Steps::VIEWER);
    });
    if newly(Steps::VIEWER) == 1 {
        for (index, days) in RETENTION_DAYS.iter().enumerate() {
            let (before, after) = (day.checked_sub(days.days()), day.checked_add(days.days()));
            let returned = |sums: &mut DaySums| {
                if let Some(returned) = sums.returned.get_mut(index) {
                    *returned += 1;
                }
            };
            if let Ok(before) = before
                && steps_on(before)?.is_viewer()
            {
                update_sums(before, &returned);
            }
            if let Ok(after) = after
                && steps_on(after)?.is_viewer()
            {
                update_sums(day, &returned);
            }
        }
    }
    Ok(new)
}
