//! The sums kept of a day, and how one visitor's new steps move them.

use jiff::ToSpan;
use jiff::civil::Date;

use super::steps::{KINDS, Kind, Steps};

/// The returns that are counted: on the next day, and on the seventh.
pub const RETURNS: [i64; 2] = [1, 7];

/// What is kept of a day. A day without events has none, or zeros.
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
    /// Those of them who were viewers again 1 and 7 days later.
    pub returned: [i64; 2],
}

/// How many figures a [`DaySums`] holds.
pub const FIGURES: usize = 2 * KINDS + 4;

impl DaySums {
    /// Events of a kind.
    pub fn events(&self, kind: Kind) -> i64 {
        self.events.get(kind.code()).copied().unwrap_or_default()
    }

    /// Distinct visitors of a kind.
    pub fn visitors(&self, kind: Kind) -> i64 {
        self.visitors.get(kind.code()).copied().unwrap_or_default()
    }

    /// Counts one more event.
    pub fn count(&mut self, kind: Kind) {
        if let Some(events) = self.events.get_mut(kind.code()) {
            *events += 1;
        }
    }

    /// All figures in a fixed order: events, visitors, sharers, viewers, returned.
    pub fn figures(&self) -> [i64; FIGURES] {
        let mut figures = [0; FIGURES];
        let rest = [self.sharers, self.viewers, self.returned[0], self.returned[1]];
        let all = self.events.iter().chain(&self.visitors).chain(&rest);
        figures.iter_mut().zip(all).for_each(|(figure, value)| *figure = *value);
        figures
    }

    /// The sums with these figures.
    pub fn of_figures(figures: &[i64; FIGURES]) -> Self {
        let mut sums = Self::default();
        let rest =
            [&mut sums.sharers, &mut sums.viewers].into_iter().chain(sums.returned.iter_mut());
        let all = sums.events.iter_mut().chain(sums.visitors.iter_mut()).chain(rest);
        all.zip(figures).for_each(|(value, figure)| *value = *figure);
        sums
    }

    /// These sums and `more` of them.
    #[must_use]
    pub fn plus(&self, more: &Self) -> Self {
        let mut figures = self.figures();
        figures.iter_mut().zip(more.figures()).for_each(|(sum, more)| *sum += more);
        Self::of_figures(&figures)
    }

    /// Names of the figures, in their order, as verification reports them.
    pub fn names() -> Vec<String> {
        let of = |what| move |kind: &Kind| format!("{} {what}", kind.as_str());
        let rest = ["sharers", "viewers", "d1_returning_users", "d7_returning_users"];
        let kinds = Kind::ALL.iter();
        let all = kinds.clone().map(of("events")).chain(kinds.map(of("visitors")));
        all.chain(rest.map(str::to_owned)).collect()
    }
}

/// Moves the sums for one visitor who is seen to have done `seen` on `day`, beside what was known;
/// what is known then. `steps_on` tells what was known of a day, `move_sums` moves a day's sums.
///
/// Newly set bits only, so a repetition moves nothing. A return is counted when the later known of
/// its two days becomes known, whichever comes first: late events complete days before and after.
///
/// # Errors
/// Those of `steps_on`.
pub fn advance<E>(
    day: Date,
    seen: Steps,
    mut steps_on: impl FnMut(Date) -> Result<Steps, E>,
    mut move_sums: impl FnMut(Date, &dyn Fn(&mut DaySums)),
) -> Result<Steps, E> {
    let old = steps_on(day)?;
    let new = old | seen;
    if new == old {
        return Ok(new);
    }
    let newly = |steps: Steps| i64::from(!old.any(steps) && new.any(steps));
    move_sums(day, &|sums| {
        for (kind, visitors) in Kind::ALL.iter().zip(&mut sums.visitors) {
            *visitors += newly(kind.step());
        }
        sums.sharers += newly(Steps::SHARE);
        sums.viewers += newly(Steps::VIEWER);
    });
    if newly(Steps::VIEWER) == 1 {
        for (place, days) in RETURNS.iter().enumerate() {
            let (before, after) = (day.checked_sub(days.days()), day.checked_add(days.days()));
            let returned = |sums: &mut DaySums| {
                if let Some(returned) = sums.returned.get_mut(place) {
                    *returned += 1;
                }
            };
            if let Ok(before) = before
                && steps_on(before)?.is_viewer()
            {
                move_sums(before, &returned);
            }
            if let Ok(after) = after
                && steps_on(after)?.is_viewer()
            {
                move_sums(day, &returned);
            }
        }
    }
    Ok(new)
}
