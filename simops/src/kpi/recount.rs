//! Recounts the sums of all days from the events and compares them with the stored sums.
//!
//! [`Recounter`] is the definition: it holds all events' visitors at once. A recount of a large log
//! compares the stored steps with the events in ranges of visitors ([`CountedSteps`],
//! [`StepsComparison`]), and the sums with the stored steps.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::RangeInclusive;

use jiff::ToSpan;
use jiff::civil::Date;
use serde::Serialize;
use uuid::Uuid;

use super::steps::{Kind, Steps};
use super::summary::Days;
use super::sums::{DaySums, RETENTION_DAYS};

/// The kinds of events that visitors caused, by visitor and day.
pub type VisitorSteps = HashMap<(Uuid, Date), Steps>;

/// Counts sums per day from events, which can be added in any order.
#[derive(Debug, Default)]
pub struct Recounter {
    /// The number of events counted.
    pub events: u64,
    /// The number of pruned events.
    pub pruned: u64,
    /// The kinds of events per visitor and day.
    pub steps: VisitorSteps,
    counts: BTreeMap<Date, DaySums>,
}

impl Recounter {
    /// Adds one event of a visitor.
    pub fn count(&mut self, kind: Kind, visitor: Uuid, day: Date) {
        self.events += 1;
        self.counts.entry(day).or_default().count(kind);
        let steps = self.steps.entry((visitor, day)).or_default();
        *steps = *steps | kind.step();
    }

    /// Adds events that were pruned: `events` events of a kind on a day.
    pub fn count_pruned(&mut self, kind: Kind, day: Date, events: u64) {
        self.pruned += events;
        let sums = self.counts.entry(day).or_default();
        if let Some(sum) = sums.events.get_mut(kind.code()) {
            *sum = sum.saturating_add_unsigned(events);
        }
    }

    /// Adds the kinds of events a visitor caused on a day whose events were pruned.
    pub fn add_known_steps(&mut self, visitor: Uuid, day: Date, known: Steps) {
        let steps = self.steps.entry((visitor, day)).or_default();
        *steps = *steps | known;
    }

    /// The sums of every day with events.
    pub fn days(&self) -> BTreeMap<Date, DaySums> {
        let mut days = self.counts.clone();
        for ((visitor, day), steps) in &self.steps {
            let sums = days.entry(*day).or_default();
            sums.add_visitors(*steps, 1);
            if steps.is_viewer() {
                for (returned, after) in sums.returned.iter_mut().zip(RETENTION_DAYS) {
                    let again = day.checked_add(after.days()).ok();
                    let again = again.and_then(|again| self.steps.get(&(*visitor, again)));
                    *returned += i64::from(again.is_some_and(|steps| steps.is_viewer()));
                }
            }
        }
        days
    }
}

/// The stored and the recounted sums of every day, from one consistent snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KpiRecount {
    /// The number of events counted.
    pub events: u64,
    /// The number of pruned events. Their stored totals are included in the recounted sums.
    pub pruned: u64,
    /// The stored sums.
    pub kept: BTreeMap<Date, DaySums>,
    /// The recounted sums.
    pub counted: BTreeMap<Date, DaySums>,
    /// The number of visitor days whose stored kinds differ from their events.
    pub wrong_steps: u64,
}

/// A stored sum that differs from the recounted one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KpiDifference {
    /// The day.
    pub day_key: Date,
    /// The name of the sum.
    pub figure: String,
    /// The stored value.
    pub kept: i64,
    /// The recounted value.
    pub counted: i64,
}

impl KpiRecount {
    /// The number of days with an event or a stored sum.
    pub fn days(&self) -> usize {
        self.kept.keys().chain(self.counted.keys()).collect::<BTreeSet<_>>().len()
    }

    /// The sums that differ, by day.
    pub fn differences(&self) -> Vec<KpiDifference> {
        let names = DaySums::field_names();
        let days: BTreeSet<_> = self.kept.keys().chain(self.counted.keys()).copied().collect();
        let of = |sums: &BTreeMap<Date, DaySums>, day| {
            sums.get(&day).copied().unwrap_or_default().to_array()
        };
        let mut differences = Vec::new();
        for day in days {
            let both = of(&self.kept, day).into_iter().zip(of(&self.counted, day));
            for ((kept, counted), name) in both.zip(&names) {
                if kept != counted {
                    let figure = name.clone();
                    differences.push(KpiDifference { day_key: day, figure, kept, counted });
                }
            }
        }
        differences
    }
}

/// An event of a visitor, as a recount reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoggedVisit {
    /// Its position in the log of events.
    pub position: i64,
    /// Its kind.
    pub kind: Kind,
    /// The hash of its visitor's id.
    pub visitor: Uuid,
    /// Its day.
    pub day: Date,
}

/// The steps of the visitors whose hash lies in a range, counted from the events up to a position.
#[derive(Debug, Clone)]
pub struct CountedSteps {
    /// The range.
    pub visitors: RangeInclusive<Uuid>,
    /// The position of the last event that was counted.
    pub position: i64,
    /// The steps.
    pub steps: VisitorSteps,
}

impl CountedSteps {
    /// Nothing counted, of the visitors from `first` on.
    pub fn starting_at(first: Uuid) -> Self {
        Self { visitors: first..=Uuid::max(), position: 0, steps: VisitorSteps::new() }
    }

    /// Adds an event of a visitor in the range. The range is halved, and the visitors of its upper
    /// half are dropped, while more than `limit` visitors' days are counted.
    pub fn count(&mut self, visit: &LoggedVisit, limit: usize) {
        if !self.visitors.contains(&visit.visitor) {
            return;
        }
        let steps = self.steps.entry((visit.visitor, visit.day)).or_default();
        *steps = *steps | visit.kind.step();
        while self.steps.len() > limit && self.visitors.start() < self.visitors.end() {
            let (first, last) = (self.visitors.start().as_u128(), self.visitors.end().as_u128());
            let middle = Uuid::from_u128(first + (last - first) / 2);
            self.visitors = *self.visitors.start()..=middle;
            self.steps.retain(|(visitor, _), _| *visitor <= middle);
        }
    }

    /// The first visitor after the range.
    pub fn next_visitor(&self) -> Option<Uuid> {
        self.visitors.end().as_u128().checked_add(1).map(Uuid::from_u128)
    }
}

/// The steps of a visitor's day that are stored wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrongSteps {
    /// The hash of the visitor's id.
    pub visitor: Uuid,
    /// The day.
    pub day: Date,
    /// The stored steps.
    pub kept: Steps,
    /// The counted steps.
    pub counted: Steps,
}

/// The steps that are right for a visitor's day: those `counted` from its events, and on a day of
/// which events were pruned those `kept` as well.
pub fn right_steps(counted: Steps, kept: Steps, is_pruned: bool) -> Steps {
    if is_pruned { counted | kept } else { counted }
}

/// Compares stored steps with counted ones, as of one snapshot of a store: first
/// [`add_recent`](Self::add_recent), then [`add_stored`](Self::add_stored).
#[derive(Debug)]
pub struct StepsComparison<'c> {
    counted: &'c CountedSteps,
    pruned: BTreeSet<Date>,
    recent: HashMap<(Uuid, Date), Recent>,
    /// Counted visitors' days that were found among the stored ones.
    found: usize,
    wrong: Vec<WrongSteps>,
}

/// What recent events say of a visitor's day.
#[derive(Debug, Default)]
struct Recent {
    /// Those that are not counted.
    uncounted: Steps,
    /// Those that the stored steps lack as yet.
    unmerged: Steps,
    is_stored: bool,
}

impl<'c> StepsComparison<'c> {
    /// A comparison with `counted`. Events of the days `pruned` were pruned.
    pub fn new(counted: &'c CountedSteps, pruned: BTreeSet<Date>) -> Self {
        Self { counted, pruned, recent: HashMap::new(), found: 0, wrong: Vec::new() }
    }

    /// Adds an event that is not counted or that the stored steps lack as yet.
    pub fn add_recent(&mut self, visit: &LoggedVisit, is_merged: bool) {
        if !self.counted.visitors.contains(&visit.visitor) {
            return;
        }
        let recent = self.recent.entry((visit.visitor, visit.day)).or_default();
        if visit.position > self.counted.position {
            recent.uncounted = recent.uncounted | visit.kind.step();
        }
        if !is_merged {
            recent.unmerged = recent.unmerged | visit.kind.step();
        }
    }

    /// Adds the stored steps of a visitor's day in the range.
    pub fn add_stored(&mut self, visitor: Uuid, day: Date, stored: Steps) {
        let recent = self.recent.get_mut(&(visitor, day));
        let (uncounted, unmerged) = recent.map_or_else(Default::default, |recent| {
            recent.is_stored = true;
            (recent.uncounted, recent.unmerged)
        });
        self.compare(visitor, day, stored | unmerged, uncounted);
    }

    fn compare(&mut self, visitor: Uuid, day: Date, kept: Steps, uncounted: Steps) {
        let counted = self.counted.steps.get(&(visitor, day));
        self.found += usize::from(counted.is_some());
        let counted = counted.copied().unwrap_or_default() | uncounted;
        let counted = right_steps(counted, kept, self.pruned.contains(&day));
        if kept != counted {
            self.wrong.push(WrongSteps { visitor, day, kept, counted });
        }
    }

    /// Ends the stored steps. Whether some are missing: then [`finish`](Self::finish) asks for all
    /// visitors' days that are stored.
    pub fn is_missing_some(&mut self) -> bool {
        for ((visitor, day), recent) in std::mem::take(&mut self.recent) {
            if !recent.is_stored {
                self.compare(visitor, day, recent.unmerged, recent.uncounted);
                // Compared: `finish` leaves it out.
                self.recent.insert((visitor, day), recent);
            }
        }
        self.found < self.counted.steps.len()
    }

    /// The wrong steps. `stored` are the visitors' days in the range that are stored, if some are
    /// missing.
    pub fn finish(mut self, stored: &HashSet<(Uuid, Date)>) -> Vec<WrongSteps> {
        if self.found < self.counted.steps.len() {
            for (key, counted) in &self.counted.steps {
                if !stored.contains(key) && !self.recent.contains_key(key) {
                    let (visitor, day) = *key;
                    let (kept, counted) = (Steps::default(), *counted);
                    self.wrong.push(WrongSteps { visitor, day, kept, counted });
                }
            }
        }
        self.wrong
    }
}

/// The visitors' days next to those in `wrong` whose steps [`change_of_sums`] depends on.
pub fn neighbours(wrong: &[WrongSteps]) -> Vec<(Uuid, Date)> {
    let own: HashSet<_> = wrong.iter().map(|wrong| (wrong.visitor, wrong.day)).collect();
    let changed = wrong.iter().filter(|wrong| wrong.kept.is_viewer() != wrong.counted.is_viewer());
    let near = changed.flat_map(|wrong| {
        let days = RETENTION_DAYS.iter().flat_map(|days| [-days, *days]);
        let near = days.filter_map(|days| wrong.day.checked_add(days.days()).ok());
        near.map(|day| (wrong.visitor, day))
    });
    near.filter(|key| !own.contains(key)).collect::<BTreeSet<_>>().into_iter().collect()
}

/// By how much the sums that follow from the counted steps of some visitors exceed those that follow
/// from the stored ones. `wrong` are all wrong steps of these visitors, `known` the right ones of their
/// [`neighbours`].
pub fn change_of_sums(wrong: &[WrongSteps], known: &VisitorSteps) -> Days {
    let own: HashMap<_, _> =
        wrong.iter().map(|wrong| ((wrong.visitor, wrong.day), *wrong)).collect();
    let viewer = |visitor, day: Date| match own.get(&(visitor, day)) {
        Some(wrong) => [wrong.kept.is_viewer(), wrong.counted.is_viewer()],
        None => [known.get(&(visitor, day)).is_some_and(|steps| steps.is_viewer()); 2],
    };
    let mut change = Days::new();
    for &WrongSteps { visitor, day, kept, counted } in wrong {
        let sums = change.entry(day).or_default();
        sums.add_visitors(counted, 1);
        sums.add_visitors(kept, -1);
        for (index, days) in RETENTION_DAYS.iter().enumerate() {
            let mut add = |first: Option<Date>, second: Option<Date>| {
                let (Some(first), Some(second)) = (first, second) else { return };
                let (first_day, second) = (first, viewer(visitor, second));
                let first = viewer(visitor, first);
                let returned = |of: usize| i64::from(first[of] && second[of]);
                let sums: &mut DaySums = change.entry(first_day).or_default();
                if let Some(sum) = sums.returned.get_mut(index) {
                    *sum += returned(1) - returned(0);
                }
            };
            let (before, after) = (day.checked_sub(days.days()), day.checked_add(days.days()));
            add(Some(day), after.ok());
            // A pair of two wrong days is added with the first of them.
            add(before.ok().filter(|before| !own.contains_key(&(visitor, *before))), Some(day));
        }
    }
    change.retain(|_, sums| *sums != DaySums::default());
    change
}
