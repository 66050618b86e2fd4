//! What a baseline holds.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Concentration, Emergence, WindowRow};
use crate::settings::Effective;
use crate::usage::Budget;

/// Budget, thresholds and recent failures at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Baseline {
    /// When it was taken.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub generated_at_utc: Timestamp,
    /// Every budget, cap and stop setting in force.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub thresholds: BTreeMap<String, Value>,
    /// What the day has used.
    pub budget_snapshot: Budget,
    /// How calls went lately.
    pub provider_failure_window: FailureRate,
    /// Where the metrics taken with it lie; null when they were not written.
    pub metrics_path: Option<String>,
}

/// Calls of the trailing failure window, of any run or none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FailureRate {
    /// How far it reaches back.
    pub window_minutes: i64,
    /// Calls that answered.
    pub successes: i64,
    /// Calls that failed.
    pub failures: i64,
    /// All calls.
    pub total: i64,
    /// Share of failed ones; null without calls.
    pub failure_rate: Option<f64>,
}

/// Windows and what the latest of them shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Metrics {
    /// When they were taken: the end of the latest window.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub generated_at_utc: Timestamp,
    /// How many windows.
    pub windows: i64,
    /// How long each is.
    pub window_minutes: i64,
    /// The last of the rows.
    pub latest_window: Option<WindowRow>,
    /// What it says of the society as a whole.
    pub emergence_metrics_latest_window: Emergence,
    /// How what is owned now is spread.
    pub resource_concentration_now: Concentration,
    /// Every window, oldest first.
    pub rows: Vec<WindowRow>,
}

/// A baseline together with its metrics: what commands and the API answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BaselineResponse {
    /// The baseline.
    #[serde(flatten)]
    pub baseline: Baseline,
    /// Its metrics.
    pub metrics: Metrics,
}

impl Baseline {
    /// Every budget, cap and stop setting.
    pub fn thresholds(settings: &Effective) -> BTreeMap<String, Value> {
        const GROUPS: [&str; 3] = ["LLM_DAILY_BUDGET_", "LLM_MAX_CALLS_", "STOP_"];
        let values = settings.values().iter();
        let named = values.filter(|(key, _)| GROUPS.iter().any(|group| key.starts_with(group)));
        named.map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

impl Metrics {
    /// The rows as CSV, with a line of names. A cell that has no figure is empty.
    pub fn csv(&self) -> String {
        let mut text = String::from(
            "window_start_utc,window_end_utc,total_events,total_actions,unique_action_types,\
             action_entropy_bits,top_action,top_action_share,top_agent_share,agent_hhi,\
             governance_events,enforcement_events,invalid_actions\n",
        );
        for row in &self.rows {
            let share =
                |share: Option<f64>| share.map(|share| share.to_string()).unwrap_or_default();
            let cells = [
                row.window_start_utc.to_string(),
                row.window_end_utc.to_string(),
                row.total_events.to_string(),
                row.total_actions.to_string(),
                row.unique_action_types.to_string(),
                row.action_entropy_bits.to_string(),
                cell(row.top_action.as_deref().unwrap_or_default()),
                share(row.top_action_share),
                share(row.top_agent_share),
                share(row.agent_hhi),
                row.governance_events.to_string(),
                row.enforcement_events.to_string(),
                row.invalid_actions.to_string(),
            ];
            text.push_str(&cells.join(","));
            text.push('\n');
        }
        text
    }
}

/// A text from outside as a cell: quoted where RFC 4180 asks for it, and never the begin of a formula.
fn cell(text: &str) -> String {
    let text = match text.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r') => format!("'{text}"),
        _ => text.to_owned(),
    };
    if text.contains([',', '"', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::cell;

    #[test]
    fn a_cell_holds_any_text_and_starts_no_formula() {
        assert_eq!(cell("work"), "work");
        assert_eq!(cell("a,\"b\"\n"), "\"a,\"\"b\"\"\n\"");
        assert_eq!(cell("=1+1"), "'=1+1");
    }
}
