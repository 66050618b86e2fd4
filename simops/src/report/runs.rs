//! The report of several runs: a row per run, and summaries by condition or by the values of a label.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::baseline::Emergence;
use crate::csv;
use crate::digest::evidence::ActivitySummary;
use crate::event::kind;
use crate::number::{ratio, rounded, to_f64};
use crate::run::{Labels, RunMode, RunRecord, SelectedRuns};
use crate::statistics::Sample;
use crate::usage::CallTotals;
use crate::{Error, Result};

/// A run with what is known of it.
#[derive(Debug, Clone)]
pub(crate) struct MeasuredRun {
    pub run: RunRecord,
    /// When it ended, or when it was looked at.
    pub until: Timestamp,
    /// All its calls.
    pub calls: CallTotals,
    /// Its events.
    pub activity: ActivitySummary,
    /// Its society at `until`.
    pub society: Emergence,
    /// Whether the report of its end has been written: only then its votes are evaluated.
    pub is_reported: bool,
}

/// What the summaries of a report are by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SummaryBy {
    /// The condition.
    Condition,
    /// The label of this name.
    Label(String),
}

/// The report of several runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunsReport {
    /// The runs that it covers.
    pub runs: SelectedRuns,
    /// When it was computed.
    pub generated_at: Timestamp,
    /// Whether all runs have ended.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// What the summaries are by: `condition_name`, or `label.NAME`.
    pub by: String,
    /// How the spread is computed, in words.
    pub method: String,
    /// A summary per condition or value of the label: numbers first, then texts, then the runs without.
    pub summaries: Vec<RunsSummary>,
    /// The runs, newest start first.
    pub items: Vec<ReportedRun>,
}

/// The runs of one condition or with one value of a label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunsSummary {
    /// The condition or the label's value; null for the runs without.
    pub value: Option<String>,
    /// The number of runs.
    pub runs: i64,
    /// The number of these runs that have not ended.
    pub open: i64,
    /// Their metrics.
    pub metrics: Vec<MetricSummary>,
}

/// A metric of several runs. A number is null where too few runs have a value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MetricSummary {
    /// The metric's name.
    pub metric: String,
    /// The number of runs that have a value.
    pub n: i64,
    /// The mean.
    pub mean: Option<f64>,
    /// The standard deviation of the sample (with n − 1); null if n is less than 2.
    pub std_dev: Option<f64>,
    /// The lower end of the 95 % confidence interval of the mean.
    pub ci95_low: Option<f64>,
    /// Its upper end.
    pub ci95_high: Option<f64>,
    /// The least value.
    pub min: Option<f64>,
    /// The greatest value.
    pub max: Option<f64>,
}

/// A run in a report of several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReportedRun {
    /// The run.
    pub run_id: String,
    /// The group.
    pub group_id: Option<String>,
    /// `test` or `real`.
    pub mode: RunMode,
    /// The experimental condition.
    pub condition_name: Option<String>,
    /// The labels: values by name.
    #[cfg_attr(feature = "openapi", schema(value_type = BTreeMap<String, String>))]
    pub labels: Labels,
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Why it ended.
    pub end_reason: Option<String>,
    /// Whether it has ended; the metrics of an open run are those of now.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// The metrics by name; null where the records contain no data for one. Coalitions are counted when a
    /// run ends.
    pub metrics: BTreeMap<String, Option<f64>>,
}

/// How the spread is computed.
const METHOD: &str = "std_dev: standard deviation of the sample (n - 1); ci95: mean +- t * std_dev / sqrt(n), t of \
                      Student's distribution with n - 1 degrees of freedom";

type Metric = (&'static str, fn(&MeasuredRun) -> Option<f64>);

/// The metrics in their order.
const METRICS: [Metric; 25] = [
    ("duration_seconds", |r| Some(to_f64(r.until.duration_since(r.run.started_at).as_secs()))),
    ("cost_usd", |r| Some(r.calls.cost.dollars())),
    ("calls", |r| Some(to_f64(r.calls.calls))),
    ("failed_calls", |r| Some(to_f64(r.calls.calls - r.calls.success_calls))),
    ("fallback_calls", |r| Some(to_f64(r.calls.fallback_calls))),
    ("total_tokens", |r| Some(to_f64(r.calls.total_tokens))),
    ("total_events", |r| Some(to_f64(r.activity.total_events))),
    ("total_actions", |r| Some(to_f64(r.activity.total_actions))),
    ("active_agents", |r| Some(to_f64(r.activity.active_agents))),
    // The entropy of no actions is 0 by definition, which says nothing about the run.
    ("action_entropy_bits", |r| {
        (r.activity.total_actions > 0).then_some(r.activity.action_entropy_bits)
    }),
    ("top_agent_share", |r| r.activity.top_agent_share),
    ("governance_events", |r| Some(to_f64(r.activity.governance_events))),
    ("governance_participants", |r| Some(to_f64(r.activity.governance_participants))),
    ("cooperation_events", |r| Some(to_f64(r.activity.cooperation_events))),
    ("conflict_events", |r| Some(to_f64(r.activity.conflict_events))),
    ("enforcement_events", |r| Some(to_f64(r.activity.enforcement_events))),
    ("invalid_actions", |r| Some(to_f64(r.activity.invalid_actions))),
    ("proposals_created", |r| Some(to_f64(r.activity.of_type(kind::PROPOSAL_CREATED)))),
    ("votes_cast", |r| Some(to_f64(r.activity.of_type(kind::VOTE_CAST)))),
    ("living_agents", |r| r.society.living_agents.map(to_f64)),
    ("inequality_gini", |r| r.society.inequality_gini),
    ("coalition_edges", |r| r.is_reported.then(|| to_f64(r.society.coalition_edges))),
    ("coalition_churn", |r| r.society.coalition_churn),
    ("cost_per_thousand_actions_usd", |r| {
        ratio(1_000, r.activity.total_actions).map(|each| r.calls.cost.dollars() * each)
    }),
    ("actions_per_dollar", |r| {
        let cost = r.calls.cost.dollars();
        (cost > 0.0).then(|| to_f64(r.activity.total_actions) / cost)
    }),
];

/// The metrics of a table, which has no room for all.
const IN_TABLE: [&str; 6] =
    ["cost_usd", "calls", "total_tokens", "total_actions", "living_agents", "inequality_gini"];

impl SummaryBy {
    /// By the label `name`, or by the condition without one.
    ///
    /// # Errors
    /// Returns `Invalid` naming `by` if no run has the label.
    pub(crate) fn of(name: Option<&str>, runs: &[RunRecord]) -> Result<Self> {
        let Some(name) = name.map(str::trim).filter(|name| !name.is_empty()) else {
            return Ok(Self::Condition);
        };
        if runs.iter().any(|run| run.labels.contains_key(name)) {
            return Ok(Self::Label(name.to_owned()));
        }
        let known: BTreeSet<_> = runs.iter().flat_map(|run| run.labels.keys()).collect();
        let known: Vec<_> = known.into_iter().map(String::as_str).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let message = format!("must be the name of a label that one of the runs has: {known}");
        Err(Error::invalid("by", message))
    }

    fn value<'a>(&self, run: &'a RunRecord) -> Option<&'a str> {
        match self {
            Self::Condition => run.condition_name.as_deref(),
            Self::Label(name) => run.labels.get(name).map(String::as_str),
        }
    }

    fn column(&self) -> String {
        match self {
            Self::Condition => "condition_name".to_owned(),
            Self::Label(name) => format!("label.{name}"),
        }
    }
}

impl RunsReport {
    /// The report of `measured` runs.
    pub(crate) fn of(
        runs: SelectedRuns,
        by: &SummaryBy,
        measured: &[MeasuredRun],
        now: Timestamp,
    ) -> Self {
        let mut values: Vec<_> = measured.iter().map(|of| by.value(&of.run)).collect();
        values.sort_by(|a, b| by_value(*a, *b));
        values.dedup();
        let summary = |value: Option<&str>| {
            let of_value = measured.iter().filter(|of| by.value(&of.run) == value);
            RunsSummary::of(value, &of_value.collect::<Vec<_>>())
        };
        Self {
            is_final: measured.iter().all(|of| !of.run.is_open()),
            runs,
            generated_at: now,
            by: by.column(),
            method: METHOD.to_owned(),
            summaries: values.into_iter().map(summary).collect(),
            items: measured.iter().map(ReportedRun::of).collect(),
        }
    }

    /// The runs as CSV with a header line: a column `label.NAME` for each label that any of them has, and
    /// a column per metric. Missing values are empty cells.
    pub fn csv(&self) -> String {
        let labels: BTreeSet<_> = self.items.iter().flat_map(|item| item.labels.keys()).collect();
        let mut header =
            ["run_id", "group_id", "mode", "condition_name"].map(str::to_owned).to_vec();
        header.extend(labels.iter().map(|name| format!("label.{name}")));
        header.extend(["started_at", "ended_at", "end_reason", "final"].map(str::to_owned));
        header.extend(METRICS.map(|(name, _)| name.to_owned()));
        let mut text = csv::line(&header);
        let cell = |text: &Option<String>| csv::cell(text.as_deref().unwrap_or_default());
        for item in &self.items {
            let mut cells = vec![
                csv::cell(&item.run_id),
                cell(&item.group_id),
                item.mode.as_str().to_owned(),
                cell(&item.condition_name),
            ];
            cells.extend(labels.iter().map(|name| cell(&item.labels.get(*name).cloned())));
            cells.extend([
                item.started_at.to_string(),
                item.ended_at.map(|at| at.to_string()).unwrap_or_default(),
                cell(&item.end_reason),
                item.is_final.to_string(),
            ]);
            let metric = |name: &str| item.metrics.get(name).copied().flatten();
            cells.extend(METRICS.map(|(name, _)| number(metric(name))));
            text.push_str(&csv::line(&cells));
        }
        text
    }

    /// The summaries as CSV with a header line: a line per summary and metric.
    pub fn summary_csv(&self) -> String {
        let names = [
            self.by.as_str(),
            "runs",
            "open",
            "metric",
            "n",
            "mean",
            "std_dev",
            "ci95_low",
            "ci95_high",
            "min",
            "max",
        ];
        let mut text = csv::line(&names.map(str::to_owned));
        for summary in &self.summaries {
            for metric in &summary.metrics {
                text.push_str(&csv::line(&[
                    csv::cell(summary.value.as_deref().unwrap_or_default()),
                    summary.runs.to_string(),
                    summary.open.to_string(),
                    metric.metric.clone(),
                    metric.n.to_string(),
                    number(metric.mean),
                    number(metric.std_dev),
                    number(metric.ci95_low),
                    number(metric.ci95_high),
                    number(metric.min),
                    number(metric.max),
                ]));
            }
        }
        text
    }

    /// Formats the summaries as a text table of the most important metrics.
    pub fn table(&self) -> String {
        let mut rows = vec![vec![self.by.clone(), "runs".to_owned()]];
        rows[0].extend(IN_TABLE.map(str::to_owned));
        for summary in &self.summaries {
            let value = summary.value.clone().unwrap_or_else(|| "(none)".to_owned());
            let mut row = vec![value, summary.runs.to_string()];
            row.extend(IN_TABLE.map(|name| summary.mean_and_deviation(name)));
            rows.push(row);
        }
        let width = |column: usize| {
            rows.iter().filter_map(|row| Some(row.get(column)?.chars().count())).max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..IN_TABLE.len() + 2).map(width).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
                if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let SelectedRuns { selected, open, .. } = &self.runs;
        let mut lines =
            vec![format!("{selected} runs, {open} open; mean ± standard deviation"), String::new()];
        lines.extend(rows.iter().map(line));
        lines.join("\n") + "\n"
    }
}

impl RunsSummary {
    fn of(value: Option<&str>, runs: &[&MeasuredRun]) -> Self {
        let metrics = METRICS.iter().map(|(name, of)| {
            let values: Vec<_> = runs.iter().filter_map(|run| of(run)).collect();
            MetricSummary::of(name, &values)
        });
        let count = |runs: usize| i64::try_from(runs).unwrap_or(i64::MAX);
        Self {
            value: value.map(str::to_owned),
            runs: count(runs.len()),
            open: count(runs.iter().filter(|of| of.run.is_open()).count()),
            metrics: metrics.collect(),
        }
    }

    fn mean_and_deviation(&self, name: &str) -> String {
        let metric = self.metrics.iter().find(|metric| metric.metric == name);
        match metric.map(|metric| (metric.mean, metric.std_dev)) {
            Some((Some(mean), Some(deviation))) => {
                format!("{} ± {}", short(mean), short(deviation))
            }
            Some((Some(mean), None)) => short(mean),
            _ => "-".to_owned(),
        }
    }
}

impl MetricSummary {
    fn of(metric: &str, values: &[f64]) -> Self {
        let sample = Sample::of(values);
        let interval = sample.interval_of_mean();
        Self {
            metric: metric.to_owned(),
            n: i64::try_from(values.len()).unwrap_or(i64::MAX),
            mean: sample.mean,
            std_dev: sample.variance.map(f64::sqrt),
            ci95_low: interval.map(|(low, _)| low),
            ci95_high: interval.map(|(_, high)| high),
            min: values.iter().copied().reduce(f64::min),
            max: values.iter().copied().reduce(f64::max),
        }
    }
}

impl ReportedRun {
    fn of(measured: &MeasuredRun) -> Self {
        let run = &measured.run;
        Self {
            run_id: run.run_id.clone(),
            group_id: run.group_id.clone(),
            mode: run.mode,
            condition_name: run.condition_name.clone(),
            labels: run.labels.clone(),
            started_at: run.started_at,
            ended_at: run.ended_at,
            end_reason: run.end_reason.clone(),
            is_final: !run.is_open(),
            metrics: METRICS.iter().map(|(name, of)| ((*name).to_owned(), of(measured))).collect(),
        }
    }
}

/// Numbers in their order, then other texts, then none.
fn by_value(a: Option<&str>, b: Option<&str>) -> Ordering {
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<f64>().ok());
    match (number(a), number(b)) {
        (Some(x), Some(y)) => x.total_cmp(&y).then(a.cmp(&b)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => (a.is_none(), a).cmp(&(b.is_none(), b)),
    }
}

fn number(value: Option<f64>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// With about four digits.
fn short(value: f64) -> String {
    rounded(
        value,
        if value.abs() >= 1_000.0 {
            0
        } else if value.abs() >= 10.0 {
            2
        } else {
            4
        },
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests;
