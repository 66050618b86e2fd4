//! Collects the events of a turn.

use jiff::Timestamp;
use serde_json::Value;
use simops::event::NewEvent;
use simops::host::Turn;

/// The event types of this world.
pub(super) mod kind {
    pub(crate) use simops::event::kind::*;

    pub(crate) const WORK: &str = "work";
    pub(crate) const REST: &str = "rest";
    pub(crate) const TRADE: &str = "trade";
    pub(crate) const TRADE_DECLINED: &str = "trade_declined";
    pub(crate) const GIFT: &str = "gift";
    pub(crate) const SANCTION: &str = "sanction";
    pub(crate) const DIRECT_MESSAGE: &str = "direct_message";
    pub(crate) const LAW_PASSED: &str = "law_passed";
    pub(crate) const LAW_EXPIRED: &str = "law_expired";
    pub(crate) const AGENT_HUNGRY: &str = "agent_hungry";
    pub(crate) const AGENT_ILL: &str = "agent_ill";
    pub(crate) const AGENT_DORMANT: &str = "agent_dormant";
    pub(crate) const AGENT_AWOKE: &str = "agent_awoke";
    pub(crate) const AGENT_DIED: &str = "agent_died";
    pub(crate) const AGENT_JOINED: &str = "agent_joined";
    pub(crate) const DAY_ENDED: &str = "day_ended";
}

/// The subjects of events, stored as `metadata.category`.
pub(super) mod category {
    pub(crate) use simops::event::category::*;

    pub(crate) const ECONOMY: &str = "economy";
    pub(crate) const SOCIAL: &str = "social";
    pub(crate) const SURVIVAL: &str = "survival";
    pub(crate) const TIME: &str = "time";
}

/// The events of a turn, which share its run, time and day.
pub(super) struct EventLog {
    run_id: String,
    now: Timestamp,
    day: i64,
    pub(super) events: Vec<NewEvent>,
}

impl EventLog {
    pub(super) fn new(turn: &Turn, day: i64) -> Self {
        Self { run_id: turn.run.run_id.clone(), now: turn.now, day, events: Vec::new() }
    }

    /// Adds an event whose metadata are the category, the day and the fields of `details`.
    pub(super) fn add(
        &mut self,
        event_type: &str,
        category: &str,
        description: String,
        details: Value,
    ) {
        let mut event = NewEvent::new(event_type, description, self.now)
            .in_run(Some(&self.run_id))
            .with("category", category)
            .with("day", self.day);
        if let Value::Object(details) = details {
            event.metadata.extend(details);
        }
        self.events.push(event);
    }

    /// Adds an event about what happens to an agent.
    pub(super) fn add_survival(
        &mut self,
        event_type: &str,
        agent: i64,
        description: String,
        details: Value,
    ) {
        self.add(event_type, category::SURVIVAL, description, details);
        if let Some(event) = self.events.last_mut() {
            event.agent_id = Some(agent.into());
        }
    }
}
