//! The content of a baseline.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::window::FIGURES;
use super::{Concentration, Emergence, WindowRow};
use crate::csv;
use crate::run::SelectedRuns;
use crate::settings::Effective;
use crate::usage::{CallTotals, DayBudget};

/// The column of the only metric that is not a number, in CSV.
const TOP_ACTION_COLUMN: usize = 6;

/// Thresholds, the day's budget and recent provider failures at one time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Baseline {
    /// When it was taken.
    pub generated_at_utc: Timestamp,
    /// The effective values of all budget, cap and stop settings.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub thresholds: BTreeMap<String, Value>,
    /// The usage of the day.
    pub budget_snapshot: DayBudget,
    /// The results of recent model calls.
    pub provider_failure_window: FailureRate,
    /// The path of the metrics file; null if no files were written.
    pub metrics_path: Option<String>,
    /// The runs that it covers; absent when it covers everything. Failures and metrics are then of these
    /// runs only; thresholds and budget are always the deployment's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<BaselineRuns>,
}

/// The runs that a baseline covers, and what they have cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BaselineRuns {
    /// The selection.
    #[serde(flatten)]
    pub of: SelectedRuns,
    /// All their calls to models since they started.
    pub llm: CallTotals,
}

/// Model calls in the trailing failure window: of all runs and outside of runs, or of the runs covered.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FailureRate {
    /// The length of the window in minutes.
    pub window_minutes: i64,
    /// Successful calls.
    pub successes: i64,
    /// Failed calls.
    pub failures: i64,
    /// All calls.
    pub total: i64,
    /// Failed calls / all calls; null if there were none.
    pub failure_rate: Option<f64>,
}

/// The metrics of several consecutive windows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Metrics {
    /// When the metrics were taken. The latest window ends then, or when the last of the runs covered had
    /// ended.
    pub generated_at_utc: Timestamp,
    /// The number of windows.
    pub windows: i64,
    /// The length of each window in minutes.
    pub window_minutes: i64,
    /// The latest window.
    pub latest_window: Option<WindowRow>,
    /// Metrics of the society in the latest window.
    pub emergence_metrics_latest_window: Emergence,
    /// The current distribution of resources.
    pub resource_concentration_now: Concentration,
    /// All windows, oldest first.
    pub rows: Vec<WindowRow>,
}

/// A baseline with its metrics, as the API and the command line return it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BaselineResponse {
    /// The baseline.
    #[serde(flatten)]
    pub baseline: Baseline,
    /// The metrics of its windows.
    pub metrics: Metrics,
}

impl Baseline {
    /// The values of all budget, cap and stop settings.
    pub fn thresholds(settings: &Effective) -> BTreeMap<String, Value> {
        const GROUPS: [&str; 3] = ["LLM_DAILY_BUDGET_", "LLM_MAX_CALLS_", "STOP_"];
        let values = settings.values().iter();
        let named = values.filter(|(key, _)| GROUPS.iter().any(|group| key.starts_with(group)));
        named.map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

impl Metrics {
    /// The windows as CSV with a header line. Missing values are empty cells.
    pub fn csv(&self) -> String {
        let mut header = vec!["window_start_utc", "window_end_utc"];
        header.extend(FIGURES.map(|(name, ..)| name));
        header.insert(TOP_ACTION_COLUMN, "top_action");
        let mut text = header.join(",") + "\n";
        for row in &self.rows {
            let mut cells = vec![row.window_start_utc.to_string(), row.window_end_utc.to_string()];
            let number = |value: Option<f64>| value.map(|value| value.to_string());
            cells.extend(FIGURES.map(|(.., of)| number(of(row)).unwrap_or_default()));
            cells.insert(
                TOP_ACTION_COLUMN,
                csv::cell(row.top_action.as_deref().unwrap_or_default()),
            );
            text.push_str(&cells.join(","));
            text.push('\n');
        }
        text
    }
}
