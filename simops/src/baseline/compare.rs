//! Finds significant changes between two baselines.
//!
//! A metric is compared by its mean over the windows of each baseline. A change is significant if
//! Welch's t-test rejects equal means at the 1 % level. Metrics with one value per baseline are listed
//! next to each other without a verdict, because their variance is unknown.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::window::{ENTROPY, FIGURES};
use super::{BaselineResponse, WindowRow};
use crate::number::rounded;
use crate::statistics::{Level, Sample, critical_t};
use crate::{Error, Result};

/// The comparison of two baselines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// When the first was taken.
    pub a: Timestamp,
    /// When the second was taken.
    pub b: Timestamp,
    /// Whether both are the same baseline.
    #[serde(default)]
    pub same_baseline: bool,
    /// The length of the windows of both baselines, in minutes.
    pub window_minutes: i64,
    /// A description of the statistical test.
    pub method: String,
    /// The names of the metrics with a significant change.
    pub moved: Vec<String>,
    /// The settings that differ.
    pub settings: Vec<SettingDifference>,
    /// The metrics of the windows.
    pub metrics: Vec<MetricComparison>,
    /// Metrics with one value per baseline.
    pub latest: Vec<LatestValue>,
}

/// A setting that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SettingDifference {
    /// The setting.
    pub key: String,
    /// Its value in the first.
    pub a: Value,
    /// Its value in the second.
    pub b: Value,
}

/// The comparison of one window metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricComparison {
    /// The metric's name.
    pub metric: String,
    /// The mean in the first baseline; null if no window has a value.
    pub a_mean: Option<f64>,
    /// The mean in the second baseline.
    pub b_mean: Option<f64>,
    /// The second mean minus the first.
    pub change: Option<f64>,
    /// The change divided by the first mean; null if that is 0.
    pub change_ratio: Option<f64>,
    /// The largest change that can be random; null if a baseline has fewer than two values.
    pub noise: Option<f64>,
    /// Whether the change is significant; null if that is unknown.
    pub moved: Option<bool>,
}

/// A metric with one value per baseline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LatestValue {
    /// The metric's name.
    pub metric: String,
    /// The value in the first baseline.
    pub a: Value,
    /// The value in the second baseline.
    pub b: Value,
}

/// Compares two baselines.
///
/// # Errors
/// Returns `Rejected` if the windows of the baselines have different lengths.
pub fn compare(a: &BaselineResponse, b: &BaselineResponse) -> Result<Comparison> {
    if a.metrics.window_minutes != b.metrics.window_minutes {
        return Err(Error::rejected(format!(
            "the windows are {} and {} minutes long; take both baselines with the same window",
            a.metrics.window_minutes, b.metrics.window_minutes
        )));
    }
    let metrics: Vec<_> = FIGURES
        .iter()
        .map(|(name, _, value)| {
            // The entropy of no actions is 0 by definition, which says nothing about the run.
            let counts = |row: &&WindowRow| *name != ENTROPY || row.total_actions > 0;
            let values = |of: &BaselineResponse| -> Vec<f64> {
                of.metrics.rows.iter().filter(counts).filter_map(value).collect()
            };
            compare_metric(name, &values(a), &values(b))
        })
        .collect();
    let moved = metrics.iter().filter(|metric| metric.moved == Some(true));
    Ok(Comparison {
        a: a.metrics.generated_at_utc,
        b: b.metrics.generated_at_utc,
        same_baseline: a.baseline.generated_at_utc == b.baseline.generated_at_utc
            && a.metrics == b.metrics,
        window_minutes: a.metrics.window_minutes,
        method: "mean over the windows; Welch's t-test at 1 %".to_owned(),
        moved: moved.map(|metric| metric.metric.clone()).collect(),
        settings: settings(&a.baseline.thresholds, &b.baseline.thresholds),
        metrics,
        latest: latest(a, b)?,
    })
}

fn compare_metric(metric: &str, a: &[f64], b: &[f64]) -> MetricComparison {
    let (a, b) = (Sample::of(a), Sample::of(b));
    let change = a.mean.zip(b.mean).map(|(a, b)| b - a);
    let noise = noise(&a, &b);
    MetricComparison {
        metric: metric.to_owned(),
        a_mean: a.mean,
        b_mean: b.mean,
        change,
        change_ratio: change
            .zip(a.mean)
            .and_then(|(change, a)| (a != 0.0).then(|| change / a.abs())),
        noise,
        moved: change.zip(noise).map(|(change, noise)| change.abs() > noise + TOLERANCE),
    }
}

/// Differences up to this are floating-point rounding errors.
const TOLERANCE: f64 = 1e-9;

/// The largest difference of the means that is not significant at the 1 % level (Welch's t-test).
fn noise(a: &Sample, b: &Sample) -> Option<f64> {
    let (a, b, va, vb) = (a, b, a.variance? / a.n, b.variance? / b.n);
    let error = va + vb;
    if error <= 0.0 {
        return Some(0.0);
    }
    let degrees_of_freedom = error.powi(2) / (va.powi(2) / (a.n - 1.0) + vb.powi(2) / (b.n - 1.0));
    Some(critical_t(degrees_of_freedom, Level::Percent1) * error.sqrt())
}

type Values = BTreeMap<String, Value>;

/// Each key of `a` or `b` with both values; null where one is missing.
fn pairs<'v>(a: &'v Values, b: &'v Values) -> impl Iterator<Item = (String, Value, Value)> {
    let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let value = |of: &Values, key: &str| of.get(key).cloned().unwrap_or_default();
    keys.into_iter().map(move |key| (key.clone(), value(a, key), value(b, key)))
}

fn settings(a: &Values, b: &Values) -> Vec<SettingDifference> {
    let differ = pairs(a, b).filter(|(_, a, b)| a != b);
    differ.map(|(key, a, b)| SettingDifference { key, a, b }).collect()
}

fn latest(a: &BaselineResponse, b: &BaselineResponse) -> Result<Vec<LatestValue>> {
    let figures = |of: &BaselineResponse| -> Result<Values> {
        let mut figures = Values::new();
        for part in [
            serde_json::to_value(&of.metrics.emergence_metrics_latest_window),
            serde_json::to_value(&of.metrics.resource_concentration_now),
            serde_json::to_value(of.baseline.provider_failure_window),
        ] {
            let part = part.map_err(|error| {
                Error::internal("failed to serialise a baseline").with_source(error)
            })?;
            figures.extend(part.as_object().cloned().unwrap_or_default());
        }
        figures.remove("window_minutes");
        Ok(figures)
    };
    let all = pairs(&figures(a)?, &figures(b)?)
        .map(|(metric, a, b)| LatestValue { metric, a, b })
        .collect();
    Ok(all)
}

impl Comparison {
    /// Formats the comparison as a text table.
    pub fn table(&self) -> String {
        let mut lines = vec![
            format!("a  {}", self.a),
            format!("b  {}", self.b),
            format!("windows of {} minutes; {}", self.window_minutes, self.method),
            String::new(),
            format!(
                "{:<22} {:>12} {:>12} {:>12} {:>9} {:>12}  verdict",
                "figure", "a", "b", "change", "change %", "noise"
            ),
        ];
        for metric in &self.metrics {
            let result = match metric.moved {
                Some(true) => "MOVED",
                Some(false) => "noise",
                None => "too few windows",
            };
            lines.push(format!(
                "{:<22} {:>12} {:>12} {:>12} {:>9} {:>12}  {result}",
                metric.metric,
                number(metric.a_mean),
                number(metric.b_mean),
                number(metric.change),
                metric
                    .change_ratio
                    .map_or("-".to_owned(), |ratio| format!("{:+.1}", ratio * 100.0)),
                number(metric.noise),
            ));
        }
        lines.push(String::new());
        for value in &self.latest {
            lines.push(format!(
                "{:<30} {:>20} {:>20}",
                value.metric,
                short(&value.a),
                short(&value.b)
            ));
        }
        if !self.settings.is_empty() {
            lines.push(String::new());
        }
        for setting in &self.settings {
            lines.push(format!("{}: {} -> {}", setting.key, setting.a, setting.b));
        }
        lines.push(String::new());
        lines.push(match self.moved.as_slice() {
            _ if self.same_baseline => "a and b are the same baseline.".to_owned(),
            [] => "Nothing moved beyond noise.".to_owned(),
            moved => format!("Moved beyond noise: {}.", moved.join(", ")),
        });
        lines.join("\n") + "\n"
    }
}

fn number(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.4}"))
}

fn short(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Number(number) if number.is_f64() => rounded(number.as_f64().unwrap_or_default(), 4),
        Value::Object(map) => {
            let parts = map.iter().map(|(key, value)| format!("{key} {}", short(value)));
            parts.collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}
