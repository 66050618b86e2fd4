//! The event log's record: what happened, to whom, in which run.
//!
//! An *action* of an agent is an event whose metadata carries `runtime {mode, run_id}`; the names
//! in [`kind`] are those that simops itself counts. A host may add any other.
//!
//! # What a host may tell simops about its world
//! Figures of emergence (see [`crate::baseline`]) are read from events alone, so any host has them
//! that keeps these conventions, however it stores its world:
//!
//! - `metadata.category`: what an event is about; the words in [`category`] are counted.
//! - `metadata.enforcement`: true when the event makes somebody keep a rule.
//! - [`kind::VOTE_CAST`] carries `proposal_id` and `vote`, both of any JSON type: agents vote alike
//!   when their votes on one proposal of one run are equal.
//! - [`kind::INVENTORY_SNAPSHOT`] carries `inventories [{agent_id, RESOURCE: amount, …}]`, one entry
//!   for each living agent; every number beside `agent_id` is an amount that it owns.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// Event types that simops writes or counts.
pub mod kind {
    /// A run began.
    pub const RUN_STARTED: &str = "run_started";
    /// An operator ended a run.
    pub const RUN_STOPPED: &str = "run_stopped";
    /// A run was paused.
    pub const RUN_PAUSED: &str = "run_paused";
    /// A run goes on after a pause or after a guardrail had stopped it.
    pub const RUN_RESUMED: &str = "run_resumed";
    /// A new epoch of the world replaced the old one.
    pub const WORLD_RESET: &str = "world_reset";
    /// Runtime settings changed.
    pub const SETTINGS_CHANGED: &str = "settings_changed";
    /// A figure of visitors calls for a person.
    pub const KPI_ALERT_FIRED: &str = "kpi_alert_fired";
    /// It no longer does.
    pub const KPI_ALERT_RESOLVED: &str = "kpi_alert_resolved";
    /// A stop condition ended a run.
    pub const STOPPED_BY_GUARDRAIL: &str = "simulation_stopped_guardrail";
    /// A message that opens a forum thread.
    pub const FORUM_POST: &str = "forum_post";
    /// A message in a forum thread.
    pub const FORUM_REPLY: &str = "forum_reply";
    /// A proposal was put to the vote.
    pub const PROPOSAL_CREATED: &str = "proposal_created";
    /// A proposal's vote ended, either way.
    pub const PROPOSAL_CLOSED: &str = "proposal_closed";
    /// A vote on a proposal.
    pub const VOTE_CAST: &str = "vote_cast";
    /// A digest was written.
    pub const DIGEST_CREATED: &str = "digest_created";
    /// A digest stands.
    pub const DIGEST_PUBLISHED: &str = "digest_published";
    /// A digest does not stand.
    pub const DIGEST_DISCARDED: &str = "digest_discarded";
    /// The types that tell of digests.
    pub const OF_DIGESTS: [&str; 3] = [DIGEST_CREATED, DIGEST_PUBLISHED, DIGEST_DISCARDED];
    /// An agent tried what is not possible.
    pub const INVALID_ACTION: &str = "invalid_action";
    /// Who lives and what each owns.
    pub const INVENTORY_SNAPSHOT: &str = "inventory_snapshot";
}

/// What events are about, where simops counts it. A host may use any other word, too.
pub mod category {
    /// Proposals, votes, laws.
    pub const GOVERNANCE: &str = "governance";
    /// Agents against each other.
    pub const CONFLICT: &str = "conflict";
    /// Agents for each other.
    pub const COOPERATION: &str = "cooperation";
    /// What was tried in vain.
    pub const INVALID: &str = "invalid";
}

/// How an agent's action came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuntimeMode {
    /// A model decided.
    Checkpoint,
    /// A rule decided, because no model answered.
    DeterministicFallback,
}

impl RuntimeMode {
    /// The name in `metadata.runtime.mode`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Checkpoint => "checkpoint",
            Self::DeterministicFallback => "deterministic_fallback",
        }
    }

    /// The mode of that name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "checkpoint" => Some(Self::Checkpoint),
            "deterministic_fallback" => Some(Self::DeterministicFallback),
            _ => None,
        }
    }
}

/// An event before it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewEvent {
    /// Written once however often it is appended.
    pub uid: Uuid,
    /// The run it belongs to, if any.
    pub run_id: Option<String>,
    /// The agent that acted or was struck, if any.
    pub agent_id: Option<i64>,
    /// What happened, in snake case.
    pub event_type: String,
    /// One sentence for people. May hold what agents wrote: escape it before showing it.
    pub description: String,
    /// Details; an action's carries `runtime {mode, run_id}`.
    pub metadata: Map<String, Value>,
    /// When it happened.
    pub created_at: Timestamp,
}

impl NewEvent {
    /// An event of `event_type` at `created_at`, with a fresh uid and nothing else.
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

    /// The same event in a run.
    #[must_use]
    pub fn in_run(mut self, run_id: Option<&str>) -> Self {
        self.run_id = run_id.map(str::to_owned);
        self
    }

    /// The same event of an agent.
    #[must_use]
    pub fn of_agent(mut self, agent_id: i64) -> Self {
        self.agent_id = Some(agent_id);
        self
    }

    /// The same event with one more detail.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.metadata.insert(key.to_owned(), value.into());
        self
    }

    /// The same event as an action that came about by `mode`.
    #[must_use]
    pub fn as_action(self, mode: RuntimeMode) -> Self {
        let runtime = json!({ "mode": mode.as_str(), "run_id": self.run_id });
        self.with("runtime", runtime)
    }

    /// What it is about: `metadata.category`, or what its type implies; empty when nothing says.
    pub fn category(&self) -> &str {
        category_of(&self.event_type, &self.metadata)
    }

    /// Whether it makes somebody keep a rule.
    pub fn is_enforcement(&self) -> bool {
        enforces(&self.metadata)
    }

    /// How the action came about; `None` for what is no action.
    pub fn runtime_mode(&self) -> Option<RuntimeMode> {
        RuntimeMode::parse(self.metadata.get("runtime")?.get("mode")?.as_str()?)
    }
}

/// What an event of that type and those details is about; empty when nothing says.
pub(crate) fn category_of<'a>(event_type: &str, metadata: &'a Map<String, Value>) -> &'a str {
    let said = metadata.get("category").and_then(Value::as_str);
    said.filter(|word| !word.is_empty()).unwrap_or(match event_type {
        kind::PROPOSAL_CREATED | kind::PROPOSAL_CLOSED | kind::VOTE_CAST => category::GOVERNANCE,
        kind::INVALID_ACTION => category::INVALID,
        _ => "",
    })
}

/// Whether details say that an event makes somebody keep a rule.
pub(crate) fn enforces(metadata: &Map<String, Value>) -> bool {
    metadata.get("enforcement").and_then(Value::as_bool).unwrap_or_default()
}

/// A stored event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Event {
    /// Its place in the log: later events have greater ids.
    pub id: i64,
    /// The run it belongs to, if any.
    pub run_id: Option<String>,
    /// The agent that acted or was struck, if any.
    pub agent_id: Option<i64>,
    /// What happened, in snake case.
    pub event_type: String,
    /// One sentence for people.
    pub description: String,
    /// Details; an action's carries `runtime {mode, run_id}`.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub metadata: Map<String, Value>,
    /// When it happened.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: Timestamp,
}
