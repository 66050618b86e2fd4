//! Run reports: a summary of a run, written once for each of its ends, comparisons of two runs, and reports
//! of several.

mod compare;
mod markdown;
mod runs;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use compare::{MetricDelta, RunComparison};
pub(crate) use runs::{MeasuredRun, SummaryBy};
pub use runs::{MetricSummary, ReportedRun, RunsReport, RunsSummary};

use crate::baseline::Emergence;
use crate::digest::evidence::{ActivitySummary, CallSummary};
use crate::guardrail::Condition;
use crate::kpi::rollup::Rollup;
use crate::run::RunRecord;
use crate::usage::CallTally;
use crate::{Error, Result};

/// The report of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunReport {
    /// The registry row.
    pub run: RunRecord,
    /// Whether the run has ended; a report of an open run is provisional.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// When the report was written.
    pub written_at: Timestamp,
    /// The duration of the run in seconds, including pauses.
    pub duration_seconds: i64,
    /// The model calls of the run.
    pub spend: CallSummary,
    /// The model calls by provider and model.
    pub models: Vec<ModelSpend>,
    /// The failed calls by error type.
    pub errors: Vec<ErrorCount>,
    /// Time windows with failed calls; at most one hundred, earliest first.
    pub failure_windows: Vec<FailureWindow>,
    /// The events of the run.
    pub activity: ActivitySummary,
    /// Metrics of the society. Population and inequality are those at the end of the run, the trend is
    /// the change since the first inventory snapshot. Coalitions use all votes of the run, and their
    /// churn compares its first half with its second half.
    pub emergence: Emergence,
    /// The visitor KPIs of the run's days; days without visitors are omitted.
    pub kpis: Vec<Rollup>,
    /// The stop conditions at the end of the run, under the settings of that time. If a guardrail
    /// stopped the run, these are the values it found; otherwise they are computed from the records.
    /// `db_pool_pressure` is included only if the run is open or a guardrail stopped it, because the
    /// load of the database is not recorded.
    pub guardrails: Vec<Condition>,
    /// The cost of a thousand actions in USD; null without actions.
    pub cost_per_thousand_actions_usd: Option<f64>,
    /// Results per US dollar; null if the run cost nothing.
    pub per_dollar: Option<PerDollar>,
}

/// The calls to one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModelSpend {
    /// The provider.
    pub provider: String,
    /// The requested model.
    pub model: String,
    /// All calls.
    pub calls: i64,
    /// Failed calls.
    pub failed_calls: i64,
    /// The cost in USD.
    pub cost_usd: f64,
}

/// The number of failed calls of one error type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorCount {
    /// The error type.
    pub error_type: String,
    /// The number of calls.
    pub calls: i64,
}

/// A time window with failed calls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FailureWindow {
    /// The start of the window.
    pub begin: Timestamp,
    /// The length of the window in minutes.
    pub minutes: i64,
    /// All calls in the window.
    pub calls: i64,
    /// Failed calls.
    pub failed_calls: i64,
}

/// Results per US dollar.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PerDollar {
    /// Events.
    pub events: f64,
    /// Actions.
    pub actions: f64,
    /// Governance events.
    pub governance_events: f64,
    /// Cooperation events.
    pub cooperation_events: f64,
    /// Successful calls.
    pub success_calls: f64,
}

impl RunReport {
    /// Reads a stored report.
    ///
    /// # Errors
    /// Returns `Internal` if it is unreadable.
    pub(crate) fn of_stored(body: Value) -> Result<Self> {
        serde_json::from_value(body)
            .map_err(|error| Error::internal("a report is unreadable").with_source(error))
    }
}

impl PerDollar {
    /// Divides the results by the cost; `None` if the cost is 0.
    pub fn of(activity: &ActivitySummary, spend: &CallSummary) -> Option<Self> {
        let per_dollar = |count| crate::number::to_f64(count) / spend.cost_usd;
        (spend.cost_usd > 0.0).then(|| Self {
            events: per_dollar(activity.total_events),
            actions: per_dollar(activity.total_actions),
            governance_events: per_dollar(activity.governance_events),
            cooperation_events: per_dollar(activity.cooperation_events),
            success_calls: per_dollar(spend.success_calls),
        })
    }
}

impl ModelSpend {
    /// Sums up calls by provider and model.
    pub fn of(tallies: &[CallTally]) -> Vec<Self> {
        let mut models: Vec<Self> = Vec::new();
        for tally in tallies {
            let (provider, model) = (&tally.class.provider, &tally.class.model);
            let failed_calls = if tally.class.success { 0 } else { tally.calls };
            let cost_usd = tally.cost.dollars();
            match models.iter_mut().find(|m| m.provider == *provider && m.model == *model) {
                Some(known) => {
                    known.calls += tally.calls;
                    known.failed_calls += failed_calls;
                    known.cost_usd += cost_usd;
                }
                None => models.push(Self {
                    provider: provider.clone(),
                    model: model.clone(),
                    calls: tally.calls,
                    failed_calls,
                    cost_usd,
                }),
            }
        }
        models
    }
}

impl ErrorCount {
    /// Sums up failed calls by error type.
    pub fn of(tallies: &[CallTally]) -> Vec<Self> {
        let mut errors = std::collections::BTreeMap::<&str, i64>::new();
        for tally in tallies.iter().filter(|tally| !tally.class.success) {
            let error_type = tally.class.error_type.as_deref().unwrap_or("unknown");
            *errors.entry(error_type).or_default() += tally.calls + tally.unsent_calls;
        }
        let errors = errors.into_iter();
        errors.map(|(name, calls)| Self { error_type: name.to_owned(), calls }).collect()
    }
}
