//! The effects of actions, and the conditions under which they are refused.
//!
//! A rule may change the society before it refuses the action; the caller then discards the changed
//! copy.

mod govern;
mod sanction;
mod share;
mod talk;
mod work;

use simops::event::NewEvent;

use super::action::Action;
use super::agent::Agent;
use super::event_log::EventContext;
use super::refusal::Refusal;
use super::rng::SeededRng;
use super::society::Society;

pub(super) use govern::close_overdue;
pub(super) use share::would_accept;

/// The agent that acts, and its surroundings.
pub(super) struct ActionContext<'a> {
    pub(super) society: &'a mut Society,
    pub(super) agent: i64,
    pub(super) event_context: EventContext<'a>,
    pub(super) rng: &'a mut SeededRng,
}

/// The event of the action, followed by those of its consequences.
type RuleResult = Result<Vec<NewEvent>, Refusal>;

/// Applies an action.
pub(super) fn apply(context: &mut ActionContext<'_>, action: &Action) -> RuleResult {
    match action {
        Action::Work { resource } => work::work(context, *resource),
        Action::Rest {} => work::rest(context),
        Action::Trade(offer) => share::trade(context, *offer),
        Action::Gift { to, resource, amount } => share::gift(context, *to, *resource, *amount),
        Action::ForumPost { title, text } => talk::post(context, title, text),
        Action::ForumReply { thread, text } => talk::reply(context, *thread, text),
        Action::DirectMessage { to, text } => talk::message(context, *to, text),
        Action::Propose { title, law } => govern::propose(context, title, *law),
        Action::Vote { proposal, vote } => govern::vote(context, *proposal, *vote),
        Action::Sanction { agent, reason } => sanction::sanction(context, *agent, reason),
    }
}

impl ActionContext<'_> {
    /// Another agent, which must not be dead.
    fn other(&self, number: i64) -> Result<&Agent, Refusal> {
        let other = self.society.agent(number)?;
        if number == self.agent {
            return Err(Refusal::new("an agent cannot do that to itself"));
        }
        if other.is_dead() {
            return Err(Refusal::new(format!("agent {number} is dead")));
        }
        Ok(other)
    }
}
