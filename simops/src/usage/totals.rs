//! Sums of calls per day and per run.

use std::iter::Sum;
use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

use super::UsageRow;
use super::money::{NanoUsd, as_dollars};

/// Arithmetic on sums. They add up and subtract sum by sum: additions
/// stop at `i64::MAX`, and differences at 0, so that a sum that was cut off never turns negative.
macro_rules! sums {
    ($sums:ident) => {
        impl Add for $sums {
            type Output = Self;

            fn add(self, other: Self) -> Self {
                self.zip(other, i64::saturating_add)
            }
        }

        impl Sub for $sums {
            type Output = Self;

            fn sub(self, other: Self) -> Self {
                self.zip(other, |sum, part| sum.saturating_sub(part).max(0))
            }
        }

        impl Sum for $sums {
            fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
                all.fold(Self::default(), Add::add)
            }
        }

        impl $sums {
            /// Combines each sum of `self` and `other` by `join`.
            fn zip(self, other: Self, join: fn(i64, i64) -> i64) -> Self {
                let (mine, other) = (self.to_array(), other.to_array());
                Self::from_array(std::array::from_fn(|index| join(mine[index], other[index])))
            }
        }
    };
}

/// Calls and their cost, summed over a day's ledger or its open leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DayTotals {
    /// All calls.
    pub calls_total: i64,
    /// Calls to models whose name ends in `:free`.
    pub calls_openrouter_free: i64,
    /// Calls to Groq.
    pub calls_groq: i64,
    /// Calls to Gemini.
    pub calls_gemini: i64,
    /// Calls to models that the price book does not know, charged at the fallback price.
    #[serde(rename = "unpriced_calls")]
    pub calls_unpriced: i64,
    /// What they cost; in JSON in USD.
    #[serde(rename = "estimated_cost_usd", with = "as_dollars")]
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub cost: NanoUsd,
}

sums!(DayTotals);

impl DayTotals {
    /// The names of the sums in stores, in the order of [`to_array`](Self::to_array).
    pub const NAMES: [&'static str; 6] = [
        "calls_total",
        "calls_openrouter_free",
        "calls_groq",
        "calls_gemini",
        "calls_unpriced",
        "cost",
    ];

    /// What one call adds to its day.
    pub fn of(row: &UsageRow) -> Self {
        if !row.sent {
            return Self::default();
        }
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

    /// The sums in the order of the fields.
    pub fn to_array(self) -> [i64; 6] {
        [
            self.calls_total,
            self.calls_openrouter_free,
            self.calls_groq,
            self.calls_gemini,
            self.calls_unpriced,
            self.cost.0,
        ]
    }

    /// The totals with these sums, in the order of the fields.
    pub fn from_array(sums: [i64; 6]) -> Self {
        let [calls_total, calls_openrouter_free, calls_groq, calls_gemini, calls_unpriced, cost] =
            sums;
        Self {
            calls_total,
            calls_openrouter_free,
            calls_groq,
            calls_gemini,
            calls_unpriced,
            cost: NanoUsd(cost),
        }
    }

    /// The larger of each sum.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        self.zip(other, Ord::max)
    }

    /// The smaller of each sum.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        self.zip(other, Ord::min)
    }

    /// Whether no sum is larger than the one in `other`.
    pub fn fits(self, other: Self) -> bool {
        self.max(other) == other
    }
}

/// Calls of a run, summed over the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = LlmTotals))]
pub struct CallTotals {
    /// Calls made.
    pub calls: i64,
    /// Calls that succeeded.
    pub success_calls: i64,
    /// Calls that were degraded or took a later route.
    pub fallback_calls: i64,
    /// Tokens sent and received.
    pub total_tokens: i64,
    /// What they cost; in JSON in USD.
    #[serde(rename = "estimated_cost_usd", with = "as_dollars")]
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub cost: NanoUsd,
}

sums!(CallTotals);

impl CallTotals {
    /// The names of the sums in stores, in the order of [`to_array`](Self::to_array).
    pub const NAMES: [&'static str; 5] =
        ["calls", "success_calls", "fallback_calls", "total_tokens", "cost"];

    /// What one call adds to its run.
    pub fn of(row: &UsageRow) -> Self {
        if !row.sent {
            return Self::default();
        }
        Self {
            calls: 1,
            success_calls: i64::from(row.success),
            fallback_calls: i64::from(row.fallback_used),
            total_tokens: row.input_tokens.saturating_add(row.output_tokens),
            cost: row.cost,
        }
    }

    /// The sums in the order of the fields.
    pub fn to_array(self) -> [i64; 5] {
        let Self { calls, success_calls, fallback_calls, total_tokens, cost } = self;
        [calls, success_calls, fallback_calls, total_tokens, cost.0]
    }

    /// The totals with these sums, in the order of the fields.
    pub fn from_array(sums: [i64; 5]) -> Self {
        let [calls, success_calls, fallback_calls, total_tokens, cost] = sums;
        Self { calls, success_calls, fallback_calls, total_tokens, cost: NanoUsd(cost) }
    }
}
