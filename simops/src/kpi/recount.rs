//! Recounts the sums of all days from the events and compares them with the stored sums.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::ToSpan;
use jiff::civil::Date;
use serde::Serialize;
use uuid::Uuid;

use super::steps::{Kind, Steps};
use super::sums::{DaySums, RETENTION_DAYS};

/// Counts sums per day from events, which can be added in any order.
#[derive(Debug, Default)]
pub struct Recounter {
    /// The number of events counted.
    pub events: u64,
    /// The number of pruned events.
    pub pruned: u64,
    /// The kinds of events per visitor and day.
    pub steps: HashMap<(Uuid, Date), Steps>,
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
            for (kind, visitors) in Kind::ALL.iter().zip(&mut sums.visitors) {
                *visitors += i64::from(steps.any(kind.step()));
            }
            sums.sharers += i64::from(steps.any(Steps::SHARE));
            sums.viewers += i64::from(steps.is_viewer());
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
