//! The record type of the event log.
//!
//! An *action* is an event of an agent whose metadata contains `runtime {mode, run_id}`. The event
//! types in [`kind`] have a meaning for simops. A host may use any other type as well.
//!
//! # Conventions for hosts
//! Baselines, digests and reports compute the metrics of a society from events alone. They are
//! available for every host that follows these conventions, independent of how it stores its world:
//!
//! - `metadata.category` is the topic of an event. The categories in [`category`] are counted.
//! - `metadata.enforcement` is true for an event that enforces a rule.
//! - [`kind::VOTE_CAST`] has `proposal_id` and `vote` in its metadata, both of any JSON type. Two
//!   agents agree on a proposal of a run if their votes are equal.
//! - [`kind::INVENTORY_SNAPSHOT`] has `inventories [{agent_id, RESOURCE: amount, …}]` in its metadata,
//!   with one entry per living agent. Its `agent_id` is a number or a name; an agent that has a name may
//!   be in the field `agent` instead. Every other numeric field is an amount the agent owns.

mod tally;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::AgentId;

pub use tally::{DayTally, EventClass, EventTally, EventWindow};

/// Event types that simops writes or evaluates.
pub mod kind {
    /// A run was started.
    pub const RUN_STARTED: &str = "run_started";
    /// An operator stopped a run.
    pub const RUN_STOPPED: &str = "run_stopped";
    /// A run was paused.
    pub const RUN_PAUSED: &str = "run_paused";
    /// A run was paused or ended because it had reached one of its limits.
    pub const RUN_LIMIT_REACHED: &str = "run_limit_reached";
    /// A run was resumed after a pause or after a guardrail stopped it.
    pub const RUN_RESUMED: &str = "run_resumed";
    /// A new world epoch replaced the current one.
    pub const WORLD_RESET: &str = "world_reset";
    /// Runtime settings were changed.
    pub const SETTINGS_CHANGED: &str = "settings_changed";
    /// A KPI alert started firing.
    pub const KPI_ALERT_FIRED: &str = "kpi_alert_fired";
    /// A KPI alert was resolved.
    pub const KPI_ALERT_RESOLVED: &str = "kpi_alert_resolved";
    /// A guardrail stopped a run because a stop condition was met.
    pub const STOPPED_BY_GUARDRAIL: &str = "simulation_stopped_guardrail";
    /// An agent opened a forum thread.
    pub const FORUM_POST: &str = "forum_post";
    /// An agent replied in a forum thread.
    pub const FORUM_REPLY: &str = "forum_reply";
    /// An agent created a proposal.
    pub const PROPOSAL_CREATED: &str = "proposal_created";
    /// Voting on a proposal ended, with either result.
    pub const PROPOSAL_CLOSED: &str = "proposal_closed";
    /// An agent voted on a proposal.
    pub const VOTE_CAST: &str = "vote_cast";
    /// A digest was created.
    pub const DIGEST_CREATED: &str = "digest_created";
    /// A scheduled digest was not written, because the evidence was insufficient.
    pub const DIGEST_SKIPPED: &str = "digest_skipped";
    /// A digest was published.
    pub const DIGEST_PUBLISHED: &str = "digest_published";
    /// A digest was discarded.
    pub const DIGEST_DISCARDED: &str = "digest_discarded";
    /// The event types about digests.
    pub const DIGEST_TYPES: [&str; 4] =
        [DIGEST_CREATED, DIGEST_SKIPPED, DIGEST_PUBLISHED, DIGEST_DISCARDED];
    /// An agent attempted an action that the rules do not allow.
    pub const INVALID_ACTION: &str = "invalid_action";
    /// The living agents and what each of them owns.
    pub const INVENTORY_SNAPSHOT: &str = "inventory_snapshot";
}

/// Event categories that simops counts. A host may use other categories as well.
pub mod category {
    /// Proposals, votes and laws.
    pub const GOVERNANCE: &str = "governance";
    /// Agents acting against each other.
    pub const CONFLICT: &str = "conflict";
    /// Agents helping each other.
    pub const COOPERATION: &str = "cooperation";
    /// Actions that the rules do not allow.
    pub const INVALID: &str = "invalid";
}

named! {
    /// How an agent's action was decided.
    pub enum RuntimeMode {
        /// By a model.
        Checkpoint = "checkpoint",
        /// By a fixed rule, because no model answered.
        DeterministicFallback = "deterministic_fallback",
    }
}

/// An event that has not been stored yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewEvent {
    /// Unique id. Appending an event with a known uid has no effect.
    pub uid: Uuid,
    /// The run the event belongs to, if any.
    pub run_id: Option<String>,
    /// The agent that acted or was affected, if any.
    #[serde(flatten, with = "crate::agent::fields")]
    pub agent_id: Option<AgentId>,
    /// The event type, in snake case.
    pub event_type: String,
    /// One sentence for people. It can contain text written by agents; escape it before display.
    pub description: String,
    /// Details. An action has `runtime {mode, run_id}`.
    pub metadata: Map<String, Value>,
    /// When the event happened.
    pub created_at: Timestamp,
}

/// The detail that says how an action came about, and in which run.
const RUNTIME: &str = "runtime";

impl NewEvent {
    /// Creates an event with a new uid and without run, agent or metadata.
    pub fn new(
        event_type: impl Into<String>,
        description: impl Into<String>,
        created_at: Timestamp,
    ) -> Self {
        Self {
            uid: Uuid::now_v7(),
            run_id: None,
            agent_id: None,
            event_type: event_type.into(),
            description: description.into(),
            metadata: Map::new(),
            created_at,
        }
    }

    /// Sets the run.
    #[must_use]
    pub fn in_run(mut self, run_id: Option<&str>) -> Self {
        self.run_id = run_id.map(str::to_owned);
        if let Some(Value::Object(runtime)) = self.metadata.get_mut(RUNTIME)
            && let Some(named) = runtime.get_mut("run_id")
        {
            *named = json!(self.run_id);
        }
        self
    }

    /// Sets the agent, by its number or name.
    #[must_use]
    pub fn of_agent(mut self, agent_id: impl Into<AgentId>) -> Self {
        self.agent_id = Some(agent_id.into());
        self
    }

    /// Adds a metadata entry.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.metadata.insert(key.to_owned(), value.into());
        self
    }

    /// Marks the event as an action decided by `mode`. Set the run first: the mark contains its id.
    #[must_use]
    pub fn as_action(self, mode: RuntimeMode) -> Self {
        let runtime = json!({ "mode": mode.as_str(), "run_id": self.run_id });
        self.with(RUNTIME, runtime)
    }

    /// The category: `metadata.category`, or the one that the event type implies; empty if neither
    /// is known.
    pub fn category(&self) -> &str {
        category_of(&self.event_type, &self.metadata)
    }

    /// Whether the event enforces a rule.
    pub fn is_enforcement(&self) -> bool {
        enforces(&self.metadata)
    }

    /// How the action was decided; `None` if the event is not an action.
    pub fn runtime_mode(&self) -> Option<RuntimeMode> {
        RuntimeMode::parse(self.metadata.get(RUNTIME)?.get("mode")?.as_str()?)
    }
}

/// The category of an event with this type and metadata; empty if unknown.
pub(crate) fn category_of<'a>(event_type: &str, metadata: &'a Map<String, Value>) -> &'a str {
    let explicit = metadata.get("category").and_then(Value::as_str);
    explicit.filter(|category| !category.is_empty()).unwrap_or(match event_type {
        kind::PROPOSAL_CREATED | kind::PROPOSAL_CLOSED | kind::VOTE_CAST => category::GOVERNANCE,
        kind::INVALID_ACTION => category::INVALID,
        _ => "",
    })
}

/// Whether an event with this metadata enforces a rule.
pub(crate) fn enforces(metadata: &Map<String, Value>) -> bool {
    metadata.get("enforcement").and_then(Value::as_bool).unwrap_or_default()
}

/// A stored event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Event {
    /// Position in the log. Later events have greater ids.
    pub id: i64,
    /// The run the event belongs to, if any.
    pub run_id: Option<String>,
    /// The agent that acted or was affected, if any.
    #[serde(flatten, with = "crate::agent::fields")]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::AgentFields))]
    pub agent_id: Option<AgentId>,
    /// The event type, in snake case.
    pub event_type: String,
    /// One sentence for people. It can contain text written by agents; escape it before display.
    pub description: String,
    /// Details. An action has `runtime {mode, run_id}`.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub metadata: Map<String, Value>,
    /// When the event happened.
    pub created_at: Timestamp,
}

#[cfg(test)]
mod tests;
