//! A lease: the reservation of one call.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::row::LEASE_EXPIRED;
use super::{DayTotals, NanoUsd, UsageRow};
use crate::AgentId;

/// The reservation of one call. It has the id of the ledger row that it ends in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Names the call: the lease, and later its row.
    pub id: Uuid,
    /// The UTC day on which it was made, and for which it counts, whenever it settles.
    pub day: Date,
    /// The run it was made for, if any.
    pub run_id: Option<String>,
    /// The agent it was made for, if any.
    #[serde(flatten, with = "crate::agent::fields")]
    pub agent_id: Option<AgentId>,
    /// The agent's checkpoint, if any.
    pub checkpoint: Option<i64>,
    /// The provider's name in lower case.
    pub provider: String,
    /// The model asked for.
    pub model: String,
    /// What it reserves in dollars: the most that the call may cost, or what others have cost.
    pub upper_bound: NanoUsd,
    /// The most tokens that it may send.
    #[serde(default)]
    pub input_tokens: i64,
    /// The most tokens that it may receive.
    #[serde(default)]
    pub output_tokens: i64,
    /// Whether the price book knows the model.
    pub priced: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it becomes a row at what it reserves, unless it is settled or released before.
    pub expires_at: Timestamp,
}

impl Lease {
    /// What it adds to the reserved totals of its day.
    pub fn totals(&self) -> DayTotals {
        DayTotals::of_call(&self.provider, &self.model, self.priced, self.upper_bound)
    }

    /// The row that it becomes when it expires: with what it had reserved.
    pub fn expired(&self, now: Timestamp) -> UsageRow {
        UsageRow {
            id: self.id,
            day: self.day,
            run_id: self.run_id.clone(),
            agent_id: self.agent_id.clone(),
            checkpoint: self.checkpoint,
            provider: self.provider.clone(),
            model_requested: self.model.clone(),
            model_resolved: None,
            input_tokens: self.input_tokens,
            cached_input_tokens: 0,
            output_tokens: self.output_tokens,
            reasoning_tokens: 0,
            cost: self.upper_bound,
            priced: self.priced,
            sent: true,
            over_reservation: false,
            success: false,
            fallback_used: false,
            latency_ms: now.duration_since(self.created_at).as_millis().try_into().unwrap_or(0),
            error_type: Some(LEASE_EXPIRED.to_owned()),
            created_at: now,
        }
    }
}
