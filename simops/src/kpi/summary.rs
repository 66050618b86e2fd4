//! The latest day, and what a day is compared with.

use std::collections::BTreeMap;

use jiff::ToSpan;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::rollup::{Rate, Rollup};
use super::sums::DaySums;

/// So many days before a day are its comparison.
pub const COMPARED_DAYS: i64 = 7;

/// Days with their sums; those without events may be missing.
pub type Days = BTreeMap<Date, DaySums>;

/// The latest day, and the week before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Summary {
    /// The newest day with an event; null without one.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = Date))]
    pub latest_day_key: Option<Date>,
    /// Its rollup.
    pub latest: Option<Rollup>,
    /// The mean of each rate over the seven days before the one compared, without nulls: the latest
    /// day, or for a retention the latest mature cohort.
    pub seven_day_avg: BTreeMap<String, Option<f64>>,
}

impl Summary {
    /// The summary of `days`, as known on `today`.
    pub fn of(days: &Days, today: Date) -> Self {
        let latest = latest(days, today);
        let average = |rate: Rate| {
            let day = compared(rate, days, today).or(latest)?;
            average(rate, day, days, today)
        };
        Self {
            latest_day_key: latest,
            latest: latest.and_then(|day| days.get(&day).map(|sums| Rollup::of(day, sums, today))),
            seven_day_avg: Rate::ALL
                .into_iter()
                .map(|rate| (rate.as_str().to_owned(), average(rate)))
                .collect(),
        }
    }
}

/// The newest day with an event, not after `today`.
pub fn latest(days: &Days, today: Date) -> Option<Date> {
    let any = |sums: &DaySums| sums.events.iter().any(|events| *events > 0);
    days.range(..=today).rev().find(|(_, sums)| any(sums)).map(|(day, _)| *day)
}

/// The day whose rate is compared: the latest day, or for a retention the newest cohort whose
/// follow-up day is over.
pub fn compared(rate: Rate, days: &Days, today: Date) -> Option<Date> {
    if rate.matures_after() == 0 {
        return latest(days, today);
    }
    let known = |(day, sums): &(&Date, &DaySums)| rate.of(**day, sums, today).is_some();
    days.range(..=today).rev().find(known).map(|(day, _)| *day)
}

/// The mean of a rate over the seven days before `day`, without those that have none.
pub fn average(rate: Rate, day: Date, days: &Days, today: Date) -> Option<f64> {
    let first = day.checked_sub(COMPARED_DAYS.days()).ok()?;
    let known: Vec<f64> =
        days.range(first..day).filter_map(|(day, sums)| rate.of(*day, sums, today)).collect();
    #[expect(clippy::cast_precision_loss, reason = "at most seven")]
    let count = known.len() as f64;
    (!known.is_empty()).then(|| known.iter().sum::<f64>() / count)
}
