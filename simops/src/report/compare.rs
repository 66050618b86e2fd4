//! Comparison of two runs.

use serde::{Deserialize, Serialize};

use super::RunReport;
use crate::number::to_f64;

/// The comparison of two runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunComparison {
    /// The id of the first run.
    pub a: String,
    /// The id of the second run.
    pub b: String,
    /// Whether both runs have ended.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// The metrics of both runs.
    pub metrics: Vec<MetricDelta>,
}

/// One metric of both runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MetricDelta {
    /// The metric's name. Names that end in `_per_dollar` are divided by the run's cost in USD.
    pub metric: String,
    /// The value of the first run; null if it has none.
    pub a: Option<f64>,
    /// The value of the second run; null if it has none.
    pub b: Option<f64>,
    /// The second value minus the first.
    pub change: Option<f64>,
    /// The change divided by the first value; null if that is 0.
    pub change_ratio: Option<f64>,
}

type Figure = fn(&RunReport) -> Option<f64>;

const FIGURES: [(&str, Figure); 24] = [
    ("duration_seconds", |r| Some(to_f64(r.duration_seconds))),
    ("cost_usd", |r| Some(r.spend.cost_usd)),
    ("cost_per_thousand_actions_usd", |r| r.cost_per_thousand_actions_usd),
    ("calls", |r| Some(to_f64(r.spend.calls))),
    ("failed_calls", |r| Some(to_f64(r.spend.failed_calls))),
    ("fallback_calls", |r| Some(to_f64(r.spend.fallback_calls))),
    ("input_tokens", |r| Some(to_f64(r.spend.input_tokens))),
    ("output_tokens", |r| Some(to_f64(r.spend.output_tokens))),
    ("total_events", |r| Some(to_f64(r.activity.total_events))),
    ("total_actions", |r| Some(to_f64(r.activity.total_actions))),
    ("active_agents", |r| Some(to_f64(r.activity.active_agents))),
    ("action_entropy_bits", |r| Some(r.activity.action_entropy_bits)),
    ("top_agent_share", |r| r.activity.top_agent_share),
    ("governance_events", |r| Some(to_f64(r.activity.governance_events))),
    ("cooperation_events", |r| Some(to_f64(r.activity.cooperation_events))),
    ("conflict_events", |r| Some(to_f64(r.activity.conflict_events))),
    ("invalid_actions", |r| Some(to_f64(r.activity.invalid_actions))),
    ("living_agents", |r| r.emergence.living_agents.map(to_f64)),
    ("inequality_gini", |r| r.emergence.inequality_gini),
    ("events_per_dollar", |r| Some(r.per_dollar.as_ref()?.events)),
    ("actions_per_dollar", |r| Some(r.per_dollar.as_ref()?.actions)),
    ("governance_events_per_dollar", |r| Some(r.per_dollar.as_ref()?.governance_events)),
    ("cooperation_events_per_dollar", |r| Some(r.per_dollar.as_ref()?.cooperation_events)),
    ("success_calls_per_dollar", |r| Some(r.per_dollar.as_ref()?.success_calls)),
];

impl RunComparison {
    /// Compares two run reports.
    pub fn of(a: &RunReport, b: &RunReport) -> Self {
        let metrics = FIGURES.iter().map(|(name, figure)| {
            let (a, b) = (figure(a), figure(b));
            let change = a.zip(b).map(|(a, b)| b - a);
            MetricDelta {
                metric: (*name).to_owned(),
                a,
                b,
                change,
                change_ratio: change
                    .zip(a)
                    .and_then(|(change, a)| (a != 0.0).then(|| change / a.abs())),
            }
        });
        Self {
            a: a.run.run_id.clone(),
            b: b.run.run_id.clone(),
            is_final: a.is_final && b.is_final,
            metrics: metrics.collect(),
        }
    }

    /// Formats the comparison as a text table.
    pub fn table(&self) -> String {
        let number =
            |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.4}"));
        let mut lines = vec![
            format!("a  {}", self.a),
            format!("b  {}", self.b),
            String::new(),
            format!("{:<30} {:>16} {:>16} {:>16} {:>9}", "figure", "a", "b", "change", "change %"),
        ];
        lines.extend(self.metrics.iter().map(|metric| {
            let percent = metric
                .change_ratio
                .map_or("-".to_owned(), |ratio| format!("{:+.1}", ratio * 100.0));
            format!(
                "{:<30} {:>16} {:>16} {:>16} {percent:>9}",
                metric.metric,
                number(metric.a),
                number(metric.b),
                number(metric.change)
            )
        }));
        lines.join("\n") + "\n"
    }
}
