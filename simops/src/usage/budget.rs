//! Sums of calls per day and per run, and the budget as the API shows it.

use std::iter::Sum;
use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

use super::{NanoUsd, UsageRow};
use crate::settings::{Effective, key};

/// Calls and their cost, summed over a day's ledger or its open leases.
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
    /// Calls to models that the price book does not know.
    pub calls_unpriced: i64,
    /// What they cost.
    pub cost: NanoUsd,
}

impl DayTotals {
    /// What one call adds to its day.
    pub fn of(row: &UsageRow) -> Self {
        Self::of_call(&row.provider, &row.model_requested, row.priced, row.cost)
    }

    /// What a call to `model` that costs `cost` adds to its day.
    pub fn of_call(provider: &str, model: &str, priced: bool, cost: NanoUsd) -> Self {
        Self {
            calls_total: 1,
            calls_openrouter_free: i64::from(model.ends_with(":free")),
            calls_groq: i64::from(provider == "groq"),
            calls_gemini: i64::from(provider == "gemini"),
            calls_unpriced: i64::from(!priced),
            cost,
        }
    }

    /// Combines each total of `self` and `other` by `join`.
    fn zip(self, other: Self, join: fn(i64, i64) -> i64) -> Self {
        let Self { calls_total, calls_openrouter_free, calls_groq, .. } = self;
        Self {
            calls_total: join(calls_total, other.calls_total),
            calls_openrouter_free: join(calls_openrouter_free, other.calls_openrouter_free),
            calls_groq: join(calls_groq, other.calls_groq),
            calls_gemini: join(self.calls_gemini, other.calls_gemini),
            calls_unpriced: join(self.calls_unpriced, other.calls_unpriced),
            cost: NanoUsd(join(self.cost.0, other.cost.0)),
        }
    }

    /// The larger of each total.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        self.zip(other, Ord::max)
    }

    /// Whether no total is larger than the one in `other`.
    pub fn fits(self, other: Self) -> bool {
        self.max(other) == other
    }
}

/// Sums stop at `i64::MAX` instead of overflowing.
impl Add for DayTotals {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.zip(other, i64::saturating_add)
    }
}

/// Differences stop at 0, so that a sum that was cut off never turns negative.
impl Sub for DayTotals {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.zip(other, subtract)
    }
}

impl Sum for DayTotals {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

fn subtract(sum: i64, part: i64) -> i64 {
    sum.saturating_sub(part).max(0)
}

/// Calls of a run, summed exactly over the ledger, as stores keep them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CallTotals {
    /// Calls made.
    pub calls: i64,
    /// Calls that succeeded.
    pub success_calls: i64,
    /// Calls that were degraded or took a later route.
    pub fallback_calls: i64,
    /// Tokens sent and received.
    pub total_tokens: i64,
    /// What they cost.
    pub cost: NanoUsd,
}

impl CallTotals {
    /// What one call adds to its run.
    pub fn of(row: &UsageRow) -> Self {
        Self {
            calls: 1,
            success_calls: i64::from(row.success),
            fallback_calls: i64::from(row.fallback_used),
            total_tokens: row.input_tokens.saturating_add(row.output_tokens),
            cost: row.cost,
        }
    }

    /// The totals as the API shows them.
    pub fn shown(self) -> LlmTotals {
        LlmTotals {
            calls: self.calls,
            success_calls: self.success_calls,
            fallback_calls: self.fallback_calls,
            total_tokens: self.total_tokens,
            estimated_cost_usd: self.cost.dollars(),
        }
    }

    fn zip(self, other: Self, join: fn(i64, i64) -> i64) -> Self {
        Self {
            calls: join(self.calls, other.calls),
            success_calls: join(self.success_calls, other.success_calls),
            fallback_calls: join(self.fallback_calls, other.fallback_calls),
            total_tokens: join(self.total_tokens, other.total_tokens),
            cost: NanoUsd(join(self.cost.0, other.cost.0)),
        }
    }
}

/// Sums stop at `i64::MAX` instead of overflowing.
impl Add for CallTotals {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.zip(other, i64::saturating_add)
    }
}

/// Differences stop at 0, so that a sum that was cut off never turns negative.
impl Sub for CallTotals {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.zip(other, subtract)
    }
}

impl Sum for CallTotals {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

/// A run's calls, summed over the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LlmTotals {
    /// Calls made.
    pub calls: i64,
    /// Calls that succeeded.
    pub success_calls: i64,
    /// Calls that were degraded or took a later route.
    pub fallback_calls: i64,
    /// Tokens sent and received.
    pub total_tokens: i64,
    /// What they cost, in USD.
    pub estimated_cost_usd: f64,
}

/// The day's budget as the API shows it.
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
    /// Calls to models that the price book does not know, charged at the fallback price.
    pub unpriced_calls: i64,
    /// What they cost, in USD.
    pub estimated_cost_usd: f64,
    /// USD after which calls are degraded; 0 = off.
    pub soft_cap_usd: f64,
    /// USD after which calls are refused; 0 = off.
    pub hard_cap_usd: f64,
}

impl Budget {
    /// The budget of `day`, which has used `totals`.
    pub fn of(day: jiff::civil::Date, totals: &DayTotals, settings: &Effective) -> Self {
        Self {
            day_key: day.to_string(),
            calls_total: totals.calls_total,
            calls_openrouter_free: totals.calls_openrouter_free,
            calls_groq: totals.calls_groq,
            calls_gemini: totals.calls_gemini,
            unpriced_calls: totals.calls_unpriced,
            estimated_cost_usd: totals.cost.dollars(),
            soft_cap_usd: settings.float(key::BUDGET_SOFT),
            hard_cap_usd: settings.float(key::BUDGET_HARD),
        }
    }
}
