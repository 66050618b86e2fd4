//! The effects of actions, and the conditions under which they are refused.
//!
//! A rule may change the society before it refuses the action; the caller then discards the changed
//! copy.

mod govern;
mod sanction;
mod share;
mod talk;
mod work;

use simops::{Error, Result};

use super::action::Action;
use super::agent::Agent;
use super::event_log::EventLog;
use super::rng::SeededRng;
use super::society::Society;

pub(super) use govern::close_overdue;
pub(super) use share::would_accept;

/// The agent that acts, and its surroundings.
pub(super) struct ActionContext<'a> {
    pub(super) society: &'a mut Society,
    pub(super) agent: i64,
    pub(super) log: &'a mut EventLog,
    pub(super) rng: &'a mut SeededRng,
}

/// Applies an action. Its event is logged first, before those of its consequences.
///
/// # Errors
/// `Rejected` if the action is not possible.
pub(super) fn apply(context: &mut ActionContext<'_>, action: &Action) -> Result<()> {
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
    fn other(&self, number: i64) -> Result<&Agent> {
        let other = self.society.agent(number)?;
        if number == self.agent {
            return Err(Error::rejected("an agent cannot do that to itself"));
        }
        if other.is_dead() {
            return Err(Error::rejected(format!("agent {number} is dead")));
        }
        Ok(other)
    }
}
