//! Holding rules against days: pure.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::rule::{Rule, Rules};
use crate::kpi::rollup::Rate;
use crate::kpi::summary::{Days, comparison_day, trailing_average};
use crate::kpi::{DaySums, Interval};

/// How bad it is; the worse is the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Look at it.
    Warning,
    /// Do something.
    Critical,
}

impl Severity {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// Why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Below the warning floor.
    BelowWarningFloor,
    /// Below the critical floor.
    BelowCriticalFloor,
    /// Dropped by the warning's share or more.
    #[serde(rename = "drop_vs_7d_warning")]
    DropVs7dWarning,
    /// Dropped by the critical share or more.
    #[serde(rename = "drop_vs_7d_critical")]
    DropVs7dCritical,
}

impl Reason {
    /// How bad it is.
    pub fn severity(self) -> Severity {
        match self {
            Self::BelowWarningFloor | Self::DropVs7dWarning => Severity::Warning,
            Self::BelowCriticalFloor | Self::DropVs7dCritical => Severity::Critical,
        }
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BelowWarningFloor => "below_warning_floor",
            Self::BelowCriticalFloor => "below_critical_floor",
            Self::DropVs7dWarning => "drop_vs_7d_warning",
            Self::DropVs7dCritical => "drop_vs_7d_critical",
        }
    }
}

/// A rate that calls for a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AlertItem {
    /// The rate.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub metric: Rate,
    /// What people call it.
    pub label: String,
    /// That of its worst reason.
    pub severity: Severity,
    /// A sentence with the figure, its sample and interval, and what it fell short of.
    pub message: String,
    /// The day compared.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Date))]
    pub day_key: Date,
    /// Whether that day is not over.
    pub partial: bool,
    /// The rate.
    pub latest_value: f64,
    /// How sure it is.
    pub interval: Option<Interval>,
    /// The mean of the seven days before.
    pub seven_day_avg_value: Option<f64>,
    /// By which share of the mean it dropped; negative when it rose.
    pub drop_ratio: Option<f64>,
    /// The rollup's field that holds the sample.
    pub sample_field: String,
    /// What the rate is a share of.
    pub sample_size: i64,
    /// Out of fewer nothing is said.
    pub minimum_sample_size: i64,
    /// Why, floors first.
    pub reasons: Vec<Reason>,
}

/// The worst of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum AlertLevel {
    /// Nothing calls for a person.
    Ok,
    /// A warning does.
    Warning,
    /// Something critical does.
    Critical,
}

/// How many there are of each severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AlertCounts {
    /// Critical ones.
    pub critical: i64,
    /// Warnings.
    pub warning: i64,
}

/// What the rules say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Evaluation {
    /// The worst of all.
    pub status: AlertLevel,
    /// How many.
    pub counts: AlertCounts,
    /// What calls for a person, worst first.
    pub items: Vec<AlertItem>,
}

/// What one rule says.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Too little is known to say anything.
    Unknown,
    /// All is well.
    Healthy,
    /// It calls for a person.
    Alert(Box<AlertItem>),
}

/// What each rule says of `days`, as known on `today`.
pub fn evaluate(rules: &Rules, days: &Days, today: Date) -> Vec<(Rate, Verdict)> {
    rules.iter().map(|rule| (rule.metric, verdict(rule, days, today))).collect()
}

impl Evaluation {
    /// All verdicts together.
    pub fn of(verdicts: &[(Rate, Verdict)]) -> Self {
        let alert = |verdict: &Verdict| match verdict {
            Verdict::Alert(item) => Some((**item).clone()),
            Verdict::Unknown | Verdict::Healthy => None,
        };
        let mut items: Vec<_> = verdicts.iter().filter_map(|(_, verdict)| alert(verdict)).collect();
        items.sort_by_key(|item| std::cmp::Reverse(item.severity));
        let mut counts = AlertCounts::default();
        for item in &items {
            match item.severity {
                Severity::Critical => counts.critical += 1,
                Severity::Warning => counts.warning += 1,
            }
        }
        let status = match counts {
            AlertCounts { critical: 1.., .. } => AlertLevel::Critical,
            AlertCounts { warning: 1.., .. } => AlertLevel::Warning,
            _ => AlertLevel::Ok,
        };
        Self { status, counts, items }
    }
}

fn verdict(rule: &Rule, days: &Days, today: Date) -> Verdict {
    let Some(day) = comparison_day(rule.metric, days, today) else { return Verdict::Unknown };
    let Some(sums) = days.get(&day) else { return Verdict::Unknown };
    let Some(value) = rule.metric.of(day, sums, today) else { return Verdict::Unknown };
    if rule.sample(sums) < rule.minimum_sample {
        return Verdict::Unknown;
    }
    let average = trailing_average(rule.metric, day, days, today);
    let drop = average.and_then(|average| drop_ratio(value, average));
    let reasons = reasons(rule, value, drop);
    match reasons.iter().map(|reason| reason.severity()).max() {
        None => Verdict::Healthy,
        Some(severity) => Verdict::Alert(Box::new(item(
            rule,
            (day, sums, today),
            (value, average, drop),
            severity,
            reasons,
        ))),
    }
}

/// By which share of `average` a rate lies under it. Rounded, so that a drop from 0.5 to 0.4 is the
/// fifth that it is and not a little less.
pub fn drop_ratio(value: f64, average: f64) -> Option<f64> {
    let drop = (average - value) / average;
    (average > 0.0).then_some((drop * 1e9).round() / 1e9)
}

/// Why `value` calls for a person; the worse of two floors, and of two drops, says it all.
pub fn reasons(rule: &Rule, value: f64, drop: Option<f64>) -> Vec<Reason> {
    let below = |floor: Option<f64>| floor.is_some_and(|floor| value < floor);
    let dropped = |limit: Option<f64>| drop.zip(limit).is_some_and(|(drop, limit)| drop >= limit);
    let floor = match (below(rule.critical_floor), below(rule.warning_floor)) {
        (true, _) => Some(Reason::BelowCriticalFloor),
        (false, true) => Some(Reason::BelowWarningFloor),
        (false, false) => None,
    };
    let drop = match (dropped(rule.critical_drop), dropped(rule.warning_drop)) {
        (true, _) => Some(Reason::DropVs7dCritical),
        (false, true) => Some(Reason::DropVs7dWarning),
        (false, false) => None,
    };
    floor.into_iter().chain(drop).collect()
}

fn item(
    rule: &Rule,
    (day, sums, today): (Date, &DaySums, Date),
    (value, average, drop): (f64, Option<f64>, Option<f64>),
    severity: Severity,
    reasons: Vec<Reason>,
) -> AlertItem {
    let mut item = AlertItem {
        metric: rule.metric,
        label: rule.label.clone(),
        severity,
        message: String::new(),
        day_key: day,
        partial: day >= today,
        latest_value: value,
        interval: rule.metric.interval(day, sums, today),
        seven_day_avg_value: average,
        drop_ratio: drop,
        sample_field: rule.sample_field().to_owned(),
        sample_size: rule.sample(sums),
        minimum_sample_size: rule.minimum_sample,
        reasons,
    };
    item.message = message(rule, &item);
    item
}

fn message(rule: &Rule, item: &AlertItem) -> String {
    let mut text = format!("{} is {}", item.label, percent(item.latest_value));
    if let Some(interval) = item.interval {
        let (low, high) = (percent(interval.low), percent(interval.high));
        text.push_str(&format!(" (95% interval {low} to {high}"));
        text.push_str(&format!(", {} visitors)", item.sample_size));
    }
    text.push_str(&format!(" on {}", item.day_key));
    if item.partial {
        text.push_str(", a day that is not over");
    }
    for reason in &item.reasons {
        let floor = |floor: Option<f64>| percent(floor.unwrap_or_default());
        text.push_str(&match reason {
            Reason::BelowWarningFloor => {
                format!("; below the warning floor of {}", floor(rule.warning_floor))
            }
            Reason::BelowCriticalFloor => {
                format!("; below the critical floor of {}", floor(rule.critical_floor))
            }
            Reason::DropVs7dWarning | Reason::DropVs7dCritical => format!(
                "; {} below the 7-day average of {}",
                percent(item.drop_ratio.unwrap_or_default()),
                percent(item.seven_day_avg_value.unwrap_or_default())
            ),
        });
    }
    text
}

fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}
