//! Builds the events of a turn.

use jiff::Timestamp;
use simops::event::NewEvent;
use simops::host::Turn;

/// Event types of this world, in addition to those in [`simops::event::kind`].
pub(super) mod kind {
    pub(crate) const WORK: &str = "work";
    pub(crate) const REST: &str = "rest";
    pub(crate) const TRADE: &str = "trade";
    pub(crate) const TRADE_DECLINED: &str = "trade_declined";
    pub(crate) const GIFT: &str = "gift";
    pub(crate) const SANCTION: &str = "sanction";
    pub(crate) const DIRECT_MESSAGE: &str = "direct_message";
    pub(crate) const INVALID_ACTION: &str = "invalid_action";
    pub(crate) const LAW_PASSED: &str = "law_passed";
    pub(crate) const LAW_EXPIRED: &str = "law_expired";
    pub(crate) const AGENT_HUNGRY: &str = "agent_hungry";
    pub(crate) const AGENT_ILL: &str = "agent_ill";
    pub(crate) const AGENT_DORMANT: &str = "agent_dormant";
    pub(crate) const AGENT_AWOKE: &str = "agent_awoke";
    pub(crate) const AGENT_DIED: &str = "agent_died";
    pub(crate) const AGENT_JOINED: &str = "agent_joined";
    pub(crate) const DAY_ENDED: &str = "day_ended";
    pub(crate) const INVENTORY_SNAPSHOT: &str = "inventory_snapshot";
}

/// The subject of an event, stored as `metadata.category`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Category {
    Economy,
    Cooperation,
    Conflict,
    Governance,
    Social,
    Survival,
    Invalid,
    Time,
}

impl Category {
    fn as_str(self) -> &'static str {
        match self {
            Self::Economy => "economy",
            Self::Cooperation => "cooperation",
            Self::Conflict => "conflict",
            Self::Governance => "governance",
            Self::Social => "social",
            Self::Survival => "survival",
            Self::Invalid => "invalid",
            Self::Time => "time",
        }
    }
}

/// The run, time and day of a turn, which all of its events share.
#[derive(Debug, Clone, Copy)]
pub(super) struct EventContext<'a> {
    run_id: &'a str,
    now: Timestamp,
    day: i64,
}

impl<'a> EventContext<'a> {
    pub(super) fn of(turn: &'a Turn, day: i64) -> Self {
        Self { run_id: &turn.run.run_id, now: turn.now, day }
    }

    pub(super) fn event(
        &self,
        event_type: &str,
        category: Category,
        description: impl Into<String>,
    ) -> NewEvent {
        NewEvent::new(event_type, description, self.now)
            .in_run(Some(self.run_id))
            .with("category", category.as_str())
            .with("day", self.day)
    }
}
