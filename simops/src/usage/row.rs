//! A row of the usage ledger: one per model call.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;
use uuid::Uuid;

use super::money::{NanoUsd, as_dollars};
use crate::AgentId;

/// The error type of a row whose lease expired.
pub(super) const LEASE_EXPIRED: &str = "lease_expired";

/// A call to a model: what was asked, how it ended and what it cost.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UsageRow {
    /// Names the call. However often a row is recorded, its id is counted once.
    pub id: Uuid,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// The UTC day it counts for.
    pub day: Date,
    /// The run that made the call, if any.
    pub run_id: Option<String>,
    /// The agent that made the call, if any.
    #[serde(flatten, serialize_with = "crate::agent::fields::serialize")]
    pub agent_id: Option<AgentId>,
    /// The agent's checkpoint, counted from 1, if any.
    pub checkpoint: Option<i64>,
    /// The provider's name in lower case: `openrouter`, `groq`, `gemini`, …
    pub provider: String,
    /// The model asked for.
    pub model_requested: String,
    /// The model that answered, if the provider named it.
    pub model_resolved: Option<String>,
    /// Tokens sent.
    pub input_tokens: i64,
    /// The part of the tokens sent that the provider had cached.
    pub cached_input_tokens: i64,
    /// Tokens received, reasoning included.
    pub output_tokens: i64,
    /// The part of the tokens received that was reasoning.
    pub reasoning_tokens: i64,
    /// What it cost; in JSON in USD.
    #[serde(rename = "cost_usd", serialize_with = "as_dollars::serialize")]
    pub cost: NanoUsd,
    /// Whether the price book knows the model. If not, the fallback price was charged.
    pub priced: bool,
    /// Whether it may have reached the provider. If not, it used up nothing and counts towards no sum
    /// and no budget, but the stop condition `provider_failures_repeated` counts it as a failure.
    pub sent: bool,
    /// Whether it cost more dollars than it had reserved.
    pub over_reservation: bool,
    /// Whether the call succeeded.
    pub success: bool,
    /// Whether the call was degraded or took a later route.
    pub fallback_used: bool,
    /// How long the call took, in milliseconds.
    pub latency_ms: i64,
    /// What failed, if the call did not succeed.
    pub error_type: Option<String>,
}

impl UsageRow {
    /// Whether this is the row of a lease that expired: its cost is what it had reserved.
    pub fn is_expired(&self) -> bool {
        self.error_type.as_deref() == Some(LEASE_EXPIRED)
    }

    /// Whether `new` replaces this row: real figures replace those of an expired lease, and nothing
    /// else replaces anything.
    pub fn is_superseded_by(&self, new: &Self) -> bool {
        self.is_expired() && !new.is_expired()
    }
}
