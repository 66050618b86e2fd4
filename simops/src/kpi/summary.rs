//! The latest day's rollup and the averages that rates are compared with.

use std::collections::BTreeMap;

use jiff::ToSpan;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::rollup::{Rate, Rollup};
use super::sums::DaySums;
use crate::number::to_f64;

/// The number of days before a day over which its comparison average is taken.
pub(crate) const AVERAGE_DAYS: i64 = 7;

/// Sums by day. Days without events may be missing.
pub type Days = BTreeMap<Date, DaySums>;

/// The latest day and the averages of the seven days before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Summary {
    /// The latest day with an event; null if there is none.
    pub latest_day_key: Option<Date>,
    /// The rollup of that day.
    pub latest: Option<Rollup>,
    /// The mean of each rate over the seven days before its comparison day, ignoring nulls. The
    /// comparison day is the latest day or, for a retention rate, the latest mature cohort.
    pub seven_day_avg: BTreeMap<String, Option<f64>>,
}

impl Summary {
    /// The summary of `days` as of `today`.
    pub fn of(days: &Days, today: Date) -> Self {
        let latest = latest_day(days, today);
        let average = |rate: Rate| {
            let day = comparison_day(rate, days, today).or(latest)?;
            trailing_average(rate, day, days, today)
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

/// The latest day with an event that is not after `today`.
pub(crate) fn latest_day(days: &Days, today: Date) -> Option<Date> {
    let any = |sums: &DaySums| sums.events.iter().any(|events| *events > 0);
    days.range(..=today).rev().find(|(_, sums)| any(sums)).map(|(day, _)| *day)
}

/// The day whose rate is compared with the average: the latest day or, for a retention rate, the
/// latest cohort whose follow-up day is over.
pub(crate) fn comparison_day(rate: Rate, days: &Days, today: Date) -> Option<Date> {
    if rate.maturity_days() == 0 {
        return latest_day(days, today);
    }
    let known = |(day, sums): &(&Date, &DaySums)| rate.of(**day, sums, today).is_some();
    days.range(..=today).rev().find(known).map(|(day, _)| *day)
}

/// The mean of a rate over the seven days before `day`, ignoring days without a value.
pub(crate) fn trailing_average(rate: Rate, day: Date, days: &Days, today: Date) -> Option<f64> {
    let first = day.checked_sub(AVERAGE_DAYS.days()).ok()?;
    let known: Vec<f64> =
        days.range(first..day).filter_map(|(day, sums)| rate.of(*day, sums, today)).collect();
    (!known.is_empty()).then(|| known.iter().sum::<f64>() / to_f64(known.len()))
}
