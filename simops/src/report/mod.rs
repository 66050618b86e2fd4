//! Reports: what a run was, written once when it has ended, and two of them side by side.

mod compare;
mod markdown;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use compare::{MetricDelta, RunComparison};

use crate::baseline::Emergence;
use crate::digest::evidence::{ActivitySummary, CallSummary};
use crate::guardrail::Condition;
use crate::kpi::rollup::Rollup;
use crate::run::RunRecord;
use crate::usage::CallTally;

/// What a run was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunReport {
    /// The registry row.
    pub run: RunRecord,
    /// Whether it is the report of its end; false while it may still change.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// When it was written.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub written_at: Timestamp,
    /// How long the run took, pauses included.
    pub duration_seconds: i64,
    /// Its model calls and what they cost.
    pub spend: CallSummary,
    /// The same by provider and model.
    pub models: Vec<ModelSpend>,
    /// Why calls failed.
    pub errors: Vec<ErrorCount>,
    /// Stretches with failed calls, the first hundred.
    pub failure_windows: Vec<FailureWindow>,
    /// What its agents did.
    pub activity: ActivitySummary,
    /// The society over the whole run: as it was left at the end; coalitions of all votes of the run,
    /// their churn from its first half to its second; inequality since it was first told.
    pub emergence: Emergence,
    /// Visitors on the days of the run that had any.
    pub kpis: Vec<Rollup>,
    /// The stop conditions at the end, by the settings in force then: those that stopped the run as they
    /// were found, others reckoned from the records. `db_pool_pressure` is there only if the run is open
    /// or a guardrail stopped it: the load of the database is kept nowhere else.
    pub guardrails: Vec<Condition>,
    /// What a thousand actions cost, in USD; null without actions.
    pub cost_per_thousand_actions_usd: Option<f64>,
    /// What a dollar bought; null when nothing was spent.
    pub per_dollar: Option<PerDollar>,
}

/// Calls of one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModelSpend {
    /// The provider.
    pub provider: String,
    /// The model asked for.
    pub model: String,
    /// Calls.
    pub calls: i64,
    /// Those that failed.
    pub failed_calls: i64,
    /// What they cost, in USD.
    pub cost_usd: f64,
}

/// Failed calls of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorCount {
    /// What failed.
    pub error_type: String,
    /// How many.
    pub calls: i64,
}

/// A stretch of time with failed calls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FailureWindow {
    /// When it began.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub begin: Timestamp,
    /// How long it is.
    pub minutes: i64,
    /// Its calls.
    pub calls: i64,
    /// Those that failed.
    pub failed_calls: i64,
}

/// What a dollar bought.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PerDollar {
    /// Events.
    pub events: f64,
    /// Actions of agents.
    pub actions: f64,
    /// Events about proposals, votes and laws.
    pub governance_events: f64,
    /// Events of agents for each other.
    pub cooperation_events: f64,
    /// Calls that answered.
    pub success_calls: f64,
}

impl PerDollar {
    /// What `cost_usd` bought of these; `None` when nothing was spent.
    pub fn of(activity: &ActivitySummary, spend: &CallSummary) -> Option<Self> {
        let each = |count| crate::baseline::window::to_f64(count) / spend.cost_usd;
        (spend.cost_usd > 0.0).then(|| Self {
            events: each(activity.total_events),
            actions: each(activity.total_actions),
            governance_events: each(activity.governance_events),
            cooperation_events: each(activity.cooperation_events),
            success_calls: each(spend.success_calls),
        })
    }
}

impl ModelSpend {
    /// The calls of `tallies` by provider and model.
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
    /// The failed calls of `tallies` by what failed.
    pub fn of(tallies: &[CallTally]) -> Vec<Self> {
        let mut errors = std::collections::BTreeMap::<&str, i64>::new();
        for tally in tallies.iter().filter(|tally| !tally.class.success) {
            let what = tally.class.error_type.as_deref().unwrap_or("unknown");
            *errors.entry(what).or_default() += tally.calls;
        }
        let errors = errors.into_iter();
        errors.map(|(what, calls)| Self { error_type: what.to_owned(), calls }).collect()
    }
}
