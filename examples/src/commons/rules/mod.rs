//! What actions do, and when they are not possible.
//!
//! A rule may change the society before it finds out that it must refuse: its caller throws the
//! half-changed society away.

mod govern;
mod sanction;
mod share;
mod talk;
mod work;

use std::fmt;

use simops::event::NewEvent;

use super::action::Action;
use super::agent::Agent;
use super::chance::Chance;
use super::society::Society;
use super::telling::Telling;

pub(super) use govern::close_overdue;
pub(super) use share::would_accept;

/// Why an action is not possible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal(String);

impl Refusal {
    pub(super) fn because(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An agent about to act.
pub(super) struct Scene<'a> {
    pub(super) society: &'a mut Society,
    pub(super) agent: i64,
    pub(super) telling: Telling<'a>,
    pub(super) chance: &'a mut Chance,
}

/// The action's event, then those that followed from it.
type Told = Result<Vec<NewEvent>, Refusal>;

/// Makes an action true.
pub(super) fn apply(scene: &mut Scene<'_>, action: &Action) -> Told {
    match action {
        Action::Work { resource } => work::work(scene, *resource),
        Action::Rest {} => work::rest(scene),
        Action::Trade(offer) => share::trade(scene, *offer),
        Action::Gift { to, resource, amount } => share::gift(scene, *to, *resource, *amount),
        Action::ForumPost { title, text } => talk::post(scene, title, text),
        Action::ForumReply { thread, text } => talk::reply(scene, *thread, text),
        Action::DirectMessage { to, text } => talk::message(scene, *to, text),
        Action::Propose { title, law } => govern::propose(scene, title, *law),
        Action::Vote { proposal, vote } => govern::vote(scene, *proposal, *vote),
        Action::Sanction { agent, reason } => sanction::sanction(scene, *agent, reason),
    }
}

impl Scene<'_> {
    /// Another agent that is not dead.
    fn other(&self, number: i64) -> Result<&Agent, Refusal> {
        let other = self.society.agent(number)?;
        if number == self.agent {
            return Err(Refusal::because("that takes somebody else"));
        }
        if other.is_dead() {
            return Err(Refusal::because(format!("agent {number} is dead")));
        }
        Ok(other)
    }
}
