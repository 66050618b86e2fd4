//! Compares the rates of a day with the alert rules.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::rule::{Rule, Rules};
use crate::kpi::rollup::Rate;
use crate::kpi::summary::{Days, comparison_day, trailing_average};
use crate::kpi::{DaySums, Interval};

named! {
    /// The severity of an alert. `Critical` is greater than `Warning`.
    pub enum Severity {
        /// A warning threshold is crossed.
        Warning = "warning",
        /// A critical threshold is crossed.
        Critical = "critical",
    }
}

named! {
    /// Why an alert fires.
    pub enum Reason {
        /// The rate is below the warning floor.
        BelowWarningFloor = "below_warning_floor",
        /// The rate is below the critical floor.
        BelowCriticalFloor = "below_critical_floor",
        /// The rate dropped against the 7-day average by at least the warning threshold.
        DropVs7dWarning = "drop_vs_7d_warning",
        /// The rate dropped against the 7-day average by at least the critical threshold.
        DropVs7dCritical = "drop_vs_7d_critical",
    }
}

impl Reason {
    /// The severity that this reason implies.
    pub fn severity(self) -> Severity {
        match self {
            Self::BelowWarningFloor | Self::DropVs7dWarning => Severity::Warning,
            Self::BelowCriticalFloor | Self::DropVs7dCritical => Severity::Critical,
        }
    }
}

/// A rate that crosses a threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AlertItem {
    /// The rate.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub metric: Rate,
    /// The rate's name for people.
    pub label: String,
    /// The highest severity of its reasons.
    pub severity: Severity,
    /// A sentence with the rate, its sample size and confidence interval, and the thresholds it
    /// crosses.
    pub message: String,
    /// The day whose rate is evaluated.
    pub day_key: Date,
    /// Whether that day is not over yet.
    pub partial: bool,
    /// The value of the rate.
    pub latest_value: f64,
    /// The confidence interval of the rate.
    pub interval: Option<Interval>,
    /// The mean of the rate over the seven days before.
    pub seven_day_avg_value: Option<f64>,
    /// The relative drop against that mean; negative if the rate rose.
    pub drop_ratio: Option<f64>,
    /// The field of the rollup that contains the sample size.
    pub sample_field: String,
    /// The sample size: the denominator of the rate.
    pub sample_size: i64,
    /// The rule is not evaluated for a smaller sample.
    pub minimum_sample_size: i64,
    /// The thresholds crossed, floors first.
    pub reasons: Vec<Reason>,
}

/// A hash of the items' days, metrics, severities and reasons. Values and sample sizes are not
/// included, because they change with every visitor.
pub fn fingerprint<'a>(items: impl IntoIterator<Item = &'a AlertItem>) -> String {
    let mut lines: Vec<_> = items
        .into_iter()
        .map(|item| {
            let mut reasons: Vec<_> = item.reasons.iter().map(|reason| reason.as_str()).collect();
            reasons.sort_unstable();
            let (metric, severity) = (item.metric.as_str(), item.severity.as_str());
            format!("{metric} {} {severity} {}\n", item.day_key, reasons.join(" "))
        })
        .collect();
    lines.sort_unstable();
    lines.dedup();
    let digest = Sha256::digest(lines.concat().as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The highest severity of all alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum AlertLevel {
    /// There is no alert.
    Ok,
    /// There are warnings only.
    Warning,
    /// There is a critical alert.
    Critical,
}

/// The number of alerts by severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AlertCounts {
    /// Critical alerts.
    pub critical: i64,
    /// Warnings.
    pub warning: i64,
}

/// The result of evaluating all rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Evaluation {
    /// The highest severity.
    pub status: AlertLevel,
    /// The number of alerts by severity.
    pub counts: AlertCounts,
    /// The rates that cross a threshold, most severe first.
    pub items: Vec<AlertItem>,
}

/// The result of evaluating one rule.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The rate is not known, or its sample is too small.
    Unknown,
    /// No threshold is crossed.
    Healthy,
    /// A threshold is crossed.
    Alert(Box<AlertItem>),
}

/// Evaluates each rule on `days` as of `today`.
pub fn evaluate(rules: &Rules, days: &Days, today: Date) -> Vec<(Rate, Verdict)> {
    rules.iter().map(|rule| (rule.metric, verdict(rule, days, today))).collect()
}

impl Evaluation {
    /// Combines the verdicts of all rules.
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

/// The relative drop of `value` below `average`; `None` if `average` is 0. Rounded to nine decimals,
/// so that a drop from 0.5 to 0.4 equals 0.2 exactly.
pub(crate) fn drop_ratio(value: f64, average: f64) -> Option<f64> {
    let drop = (average - value) / average;
    (average > 0.0).then_some((drop * 1e9).round() / 1e9)
}

/// The thresholds that `value` crosses: at most one floor and one drop, the more severe of each.
pub(crate) fn reasons(rule: &Rule, value: f64, drop: Option<f64>) -> Vec<Reason> {
    let below = |floor: Option<f64>| floor.is_some_and(|floor| value < floor);
    let dropped = |limit: Option<f64>| drop.zip(limit).is_some_and(|(drop, limit)| drop >= limit);
    let warning = below(rule.warning_floor).then_some(Reason::BelowWarningFloor);
    let floor = below(rule.critical_floor).then_some(Reason::BelowCriticalFloor).or(warning);
    let warning = dropped(rule.warning_drop).then_some(Reason::DropVs7dWarning);
    let drop = dropped(rule.critical_drop).then_some(Reason::DropVs7dCritical).or(warning);
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
