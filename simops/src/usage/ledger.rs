//! The usage ledger's row: one per model call made, written once.

use jiff::Timestamp;
use jiff::civil::Date;
use uuid::Uuid;

use super::NanoUsd;
use super::lease::LEASE_EXPIRED;

/// A call to a model, as it was made and paid.
#[derive(Debug, Clone, PartialEq)]
pub struct UsageRow {
    /// Written once however often it is recorded.
    pub id: Uuid,
    /// The UTC day it counts for.
    pub day: Date,
    /// The run it was made for, if any.
    pub run_id: Option<String>,
    /// The agent it was made for, if any.
    pub agent_id: Option<i64>,
    /// The agent's checkpoint, counted from 1, if any.
    pub checkpoint: Option<i64>,
    /// The provider's name in lower case: `openrouter`, `groq`, `gemini`, …
    pub provider: String,
    /// The model asked for.
    pub model_requested: String,
    /// The model that answered, when the provider says so.
    pub model_resolved: Option<String>,
    /// Tokens sent.
    pub input_tokens: i64,
    /// Those of the tokens sent that the provider had cached.
    pub cached_input_tokens: i64,
    /// Tokens received, reasoning included.
    pub output_tokens: i64,
    /// Those of the tokens received that were reasoning.
    pub reasoning_tokens: i64,
    /// What it cost.
    pub cost: NanoUsd,
    /// Whether the price book knew the model; false: charged at the fallback price.
    pub priced: bool,
    /// Whether it answered.
    pub success: bool,
    /// Whether it was degraded or took a later route.
    pub fallback_used: bool,
    /// How long it took, in milliseconds.
    pub latency_ms: i64,
    /// What failed, when it did not answer.
    pub error_type: Option<String>,
    /// When it was recorded.
    pub created_at: Timestamp,
}

impl UsageRow {
    /// Whether it stands for a call that was never heard of again, and yields to its real figures.
    pub fn is_expired(&self) -> bool {
        self.error_type.as_deref() == Some(LEASE_EXPIRED)
    }
}
