//! Newcomers: a society that lost members grows back to the size it began with, slowly.

use simops::event::NewEvent;

use super::super::agent::Agent;
use super::super::chance::{Chance, Purpose};
use super::super::society::Society;
use super::super::telling::{Category, Telling, kind};

/// Below its founding size, somebody arrives on one day in so many.
const ARRIVES_ONE_IN: u32 = 4;

/// At most one agent arrives; how many did. When less than half are left, one comes every day, so
/// that a society never ends.
pub(super) fn arrive(society: &mut Society, telling: Telling<'_>, told: &mut Vec<NewEvent>) -> u32 {
    let living = society.living().count();
    let founders = society.common.founders as usize;
    let (seed, day) = (society.common.seed, society.common.day);
    let needed = living * 2 < founders || living == 0;
    let mut chance = Chance::of(seed, Purpose::Arrival, day, 0);
    if living >= founders || !(needed || chance.one_in(ARRIVES_ONE_IN)) {
        return 0;
    }
    let number = society.common.next_agent;
    society.common.next_agent += 1;
    // It has its place in the round, not all the turns that it missed.
    let turns = society.living().map(|agent| agent.turns).min().unwrap_or_default();
    society.agents.insert(number, Agent::born(number, seed, turns));
    let description = format!("Agent {number} joins the society.");
    told.push(telling.event(kind::AGENT_JOINED, Category::Survival, description).of_agent(number));
    1
}
