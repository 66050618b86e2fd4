//! What a day has used, and of what.

use serde::{Deserialize, Serialize};

use super::NanoUsd;
use crate::settings::{Effective, key};

/// A day's calls and cost, summed over the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DayTotals {
    /// All calls.
    pub calls_total: i64,
    /// Calls to models whose name ends in `:free`.
    pub calls_openrouter_free: i64,
    /// Calls to Groq.
    pub calls_groq: i64,
    /// Calls to Gemini.
    pub calls_gemini: i64,
    /// What they cost.
    pub cost: NanoUsd,
}

/// A run's calls, summed over the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LlmTotals {
    /// Calls made.
    pub calls: i64,
    /// Calls that answered.
    pub success_calls: i64,
    /// Calls that were degraded or took a later route.
    pub fallback_calls: i64,
    /// Tokens sent and received.
    pub total_tokens: i64,
    /// What they cost, in USD.
    pub estimated_cost_usd: f64,
}

/// The day's budget as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Budget {
    /// The UTC day.
    pub day_key: String,
    /// All calls.
    pub calls_total: i64,
    /// Calls to models whose name ends in `:free`.
    pub calls_openrouter_free: i64,
    /// Calls to Groq.
    pub calls_groq: i64,
    /// Calls to Gemini.
    pub calls_gemini: i64,
    /// What they cost, in USD.
    pub estimated_cost_usd: f64,
    /// USD after which calls are degraded; 0 = off.
    pub soft_cap_usd: f64,
    /// USD after which calls are refused; 0 = off.
    pub hard_cap_usd: f64,
}

impl Budget {
    /// The budget of `day` with what it has used.
    pub fn of(day: jiff::civil::Date, totals: &DayTotals, settings: &Effective) -> Self {
        Self {
            day_key: day.to_string(),
            calls_total: totals.calls_total,
            calls_openrouter_free: totals.calls_openrouter_free,
            calls_groq: totals.calls_groq,
            calls_gemini: totals.calls_gemini,
            estimated_cost_usd: totals.cost.dollars(),
            soft_cap_usd: settings.float(key::BUDGET_SOFT),
            hard_cap_usd: settings.float(key::BUDGET_HARD),
        }
    }
}
