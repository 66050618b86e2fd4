//! Calls counted by what they are.

use super::{NanoUsd, UsageRow};

/// What calls are counted by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallClass {
    /// The provider's name in lower case.
    pub provider: String,
    /// The model asked for.
    pub model: String,
    /// Whether they answered.
    pub success: bool,
    /// What failed, when they did not.
    pub error_type: Option<String>,
}

/// Calls of one class, summed. Sums stop at the greatest number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallTally {
    /// The class.
    pub class: CallClass,
    /// How many.
    pub calls: i64,
    /// Those that were degraded or took a later route.
    pub fallback_calls: i64,
    /// Those charged at the fallback price.
    pub unpriced_calls: i64,
    /// Tokens sent.
    pub input_tokens: i64,
    /// Tokens received.
    pub output_tokens: i64,
    /// What they cost.
    pub cost: NanoUsd,
}

impl CallTally {
    /// One call.
    pub fn of(row: &UsageRow) -> Self {
        Self {
            class: CallClass {
                provider: row.provider.clone(),
                model: row.model_requested.clone(),
                success: row.success,
                error_type: row.error_type.clone(),
            },
            calls: 1,
            fallback_calls: row.fallback_used.into(),
            unpriced_calls: (!row.priced).into(),
            input_tokens: row.input_tokens,
            output_tokens: row.output_tokens,
            cost: row.cost,
        }
    }

    /// The sums with those of `other` added.
    pub fn add(&mut self, other: &Self) {
        let sum = |mine: &mut i64, more: i64| *mine = mine.saturating_add(more);
        sum(&mut self.calls, other.calls);
        sum(&mut self.fallback_calls, other.fallback_calls);
        sum(&mut self.unpriced_calls, other.unpriced_calls);
        sum(&mut self.input_tokens, other.input_tokens);
        sum(&mut self.output_tokens, other.output_tokens);
        self.cost = self.cost + other.cost;
    }
}
