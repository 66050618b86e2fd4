//! The plain definition of a day's sums, and how kept ones are compared with it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::ToSpan;
use jiff::civil::Date;
use serde::Serialize;
use uuid::Uuid;

use super::steps::{Kind, Steps};
use super::sums::{DaySums, RETURNS};

/// Counts days from events, one after the other and in any order.
#[derive(Debug, Default)]
pub struct Recounter {
    events: u64,
    pruned: u64,
    counts: BTreeMap<Date, DaySums>,
    steps: HashMap<(Uuid, Date), Steps>,
}

impl Recounter {
    /// Counts one event of a visitor.
    pub fn count(&mut self, kind: Kind, visitor: Uuid, day: Date) {
        self.events += 1;
        self.counts.entry(day).or_default().count(kind);
        let steps = self.steps.entry((visitor, day)).or_default();
        *steps = *steps | kind.step();
    }

    /// Counts events of a kind on a day that were deleted as old.
    pub fn count_pruned(&mut self, kind: Kind, day: Date, events: u64) {
        self.pruned += events;
        let sums = self.counts.entry(day).or_default();
        if let Some(sum) = sums.events.get_mut(kind.code()) {
            *sum = sum.saturating_add_unsigned(events);
        }
    }

    /// Takes it as known what a visitor did on a day whose events were deleted as old.
    pub fn know(&mut self, visitor: Uuid, day: Date, known: Steps) {
        let steps = self.steps.entry((visitor, day)).or_default();
        *steps = *steps | known;
    }

    /// How many events were counted.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// How many events had been deleted as old.
    pub fn pruned(&self) -> u64 {
        self.pruned
    }

    /// What each visitor did on each day.
    pub fn steps(&self) -> &HashMap<(Uuid, Date), Steps> {
        &self.steps
    }

    /// The sums of each day with events.
    pub fn days(&self) -> BTreeMap<Date, DaySums> {
        let mut days = self.counts.clone();
        for ((visitor, day), steps) in &self.steps {
            let sums = days.entry(*day).or_default();
            for (kind, visitors) in Kind::ALL.iter().zip(&mut sums.visitors) {
                *visitors += i64::from(steps.any(kind.step()));
            }
            sums.sharers += i64::from(steps.any(Steps::SHARE));
            sums.viewers += i64::from(steps.is_viewer());
            if steps.is_viewer() {
                for (returned, after) in sums.returned.iter_mut().zip(RETURNS) {
                    let again = day.checked_add(after.days()).ok();
                    let again = again.and_then(|again| self.steps.get(&(*visitor, again)));
                    *returned += i64::from(again.is_some_and(|steps| steps.is_viewer()));
                }
            }
        }
        days
    }
}

/// Every day's sums as kept and as counted anew, at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KpiRecount {
    /// Events counted.
    pub events: u64,
    /// Events that were deleted as old: what was kept of them counts with the others.
    pub pruned: u64,
    /// What is kept.
    pub kept: BTreeMap<Date, DaySums>,
    /// What was counted.
    pub counted: BTreeMap<Date, DaySums>,
    /// Visitors' days whose kept steps differ from their events.
    pub wrong_steps: u64,
}

/// A figure that is kept otherwise than it counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KpiDifference {
    /// The day.
    pub day_key: Date,
    /// The figure.
    pub figure: String,
    /// As it is kept.
    pub kept: i64,
    /// As it counts.
    pub counted: i64,
}

impl KpiRecount {
    /// Days with an event or a sum.
    pub fn days(&self) -> usize {
        self.kept.keys().chain(self.counted.keys()).collect::<BTreeSet<_>>().len()
    }

    /// The figures that differ, by day.
    pub fn differences(&self) -> Vec<KpiDifference> {
        let names = DaySums::names();
        let days: BTreeSet<_> = self.kept.keys().chain(self.counted.keys()).copied().collect();
        let of = |sums: &BTreeMap<Date, DaySums>, day| {
            sums.get(&day).copied().unwrap_or_default().figures()
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
