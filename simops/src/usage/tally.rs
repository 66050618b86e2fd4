//! Call counts by class.

use super::{NanoUsd, UsageRow};

/// The properties by which calls are counted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallClass {
    /// The provider's name in lower case.
    pub provider: String,
    /// The requested model.
    pub model: String,
    /// Whether the calls succeeded.
    pub success: bool,
    /// The error type of failed calls.
    pub error_type: Option<String>,
}

/// The totals of the calls of one class. Sums saturate at the maximum of their type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallTally {
    /// The class.
    pub class: CallClass,
    /// The number of calls that were sent. All other sums are of these, too.
    pub calls: i64,
    /// Calls that were not sent to any provider.
    pub unsent_calls: i64,
    /// Calls that used a cheaper or a fallback route.
    pub fallback_calls: i64,
    /// Calls charged at the fallback price because the model has no price.
    pub unpriced_calls: i64,
    /// Input tokens.
    pub input_tokens: i64,
    /// Output tokens.
    pub output_tokens: i64,
    /// The cost.
    pub cost: NanoUsd,
}

impl CallTally {
    /// The totals of one call.
    pub fn of(row: &UsageRow) -> Self {
        let sent = |amount: i64| if row.sent { amount } else { 0 };
        Self {
            class: CallClass {
                provider: row.provider.clone(),
                model: row.model_requested.clone(),
                success: row.success,
                error_type: row.error_type.clone(),
            },
            calls: sent(1),
            unsent_calls: (!row.sent).into(),
            fallback_calls: sent(row.fallback_used.into()),
            unpriced_calls: sent((!row.priced).into()),
            input_tokens: sent(row.input_tokens),
            output_tokens: sent(row.output_tokens),
            cost: NanoUsd(sent(row.cost.0)),
        }
    }

    /// The sums with those of `other` added.
    pub fn add(&mut self, other: &Self) {
        let sum = |mine: &mut i64, more: i64| *mine = mine.saturating_add(more);
        sum(&mut self.calls, other.calls);
        sum(&mut self.unsent_calls, other.unsent_calls);
        sum(&mut self.fallback_calls, other.fallback_calls);
        sum(&mut self.unpriced_calls, other.unpriced_calls);
        sum(&mut self.input_tokens, other.input_tokens);
        sum(&mut self.output_tokens, other.output_tokens);
        self.cost = self.cost + other.cost;
    }
}
