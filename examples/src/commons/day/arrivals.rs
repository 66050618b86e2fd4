//! New agents: a society that lost members slowly grows back to its initial size.

use serde_json::json;

use super::super::agent::Agent;
use super::super::event_log::{EventLog, kind};
use super::super::rng::{Purpose, SeededRng};
use super::super::society::Society;

/// Below the initial size, an agent arrives with a probability of 1 in this number each day.
const ARRIVAL_ODDS: u32 = 4;

/// Adds at most one agent and returns how many it added. If less than half of the initial number
/// live, an agent arrives every day, so that the society never dies out.
pub(super) fn add_newcomer(society: &mut Society, log: &mut EventLog) -> u32 {
    let living = society.living().count();
    let founders = society.common.founders as usize;
    let (seed, day) = (society.common.seed, society.common.day);
    let needed = living * 2 < founders || living == 0;
    let mut rng = SeededRng::new(seed, Purpose::Arrival, day, 0);
    if living >= founders || !(needed || rng.is_one_in(ARRIVAL_ODDS)) {
        return 0;
    }
    let number = society.common.next_agent;
    society.common.next_agent += 1;
    // It joins the current round, and does not make up for earlier turns.
    let turns = society.living().map(|agent| agent.turns).min().unwrap_or_default();
    society.agents.insert(number, Agent::new(number, seed, turns));
    let description = format!("Agent {number} joins the society.");
    log.add_survival(kind::AGENT_JOINED, number, description, json!({}));
    1
}
