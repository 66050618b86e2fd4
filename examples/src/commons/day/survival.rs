//! Bodies: eating, hunger, illness, dormancy, waking, death.

use simops::event::NewEvent;

use super::super::agent::{Agent, Condition};
use super::super::chance::{Chance, Purpose};
use super::super::society::Society;
use super::super::stock::Resource;
use super::super::telling::{Category, Telling, kind};

/// What a day without food costs, in energy, beside what every day costs.
const HUNGER_COSTS: u32 = 1;
/// After so many days without food an agent is dormant.
const DORMANT_AFTER: u32 = 3;
/// So much energy wakes a dormant agent that is not hungry.
const WAKES_WITH: u32 = 3;
/// After so many days dormant an agent dies.
const DIES_AFTER: u32 = 4;
/// One agent in so many falls ill, each day.
const ILL_ONE_IN: u32 = 40;
/// What an illness costs, in energy.
const ILLNESS_COSTS: u32 = 6;

/// Everybody eats one food and spends one energy; the dormant spend none.
pub(super) fn eat(society: &mut Society, telling: Telling<'_>, told: &mut Vec<NewEvent>) {
    for agent in society.living_mut() {
        let number = agent.number;
        let hungry = agent.stock.take(Resource::Food, 1).is_err();
        agent.days_hungry = if hungry { agent.days_hungry + 1 } else { 0 };
        if agent.is_alive() {
            let spent = 1 + if hungry { HUNGER_COSTS } else { 0 };
            agent.stock.take_up_to(Resource::Energy, spent);
        }
        if hungry {
            let days = agent.days_hungry;
            let description = format!("Agent {number} has nothing to eat.");
            told.push(struck(telling, kind::AGENT_HUNGRY, agent, description).with("days", days));
        }
    }
}

pub(super) fn fall_ill(society: &mut Society, telling: Telling<'_>, told: &mut Vec<NewEvent>) {
    let (seed, day) = (society.common.seed, society.common.day);
    for agent in society.living_mut().filter(|agent| agent.is_alive()) {
        if Chance::of(seed, Purpose::Fate, agent.number, day).one_in(ILL_ONE_IN) {
            let lost = agent.stock.take_up_to(Resource::Energy, ILLNESS_COSTS);
            let description = format!("Agent {} falls ill.", agent.number);
            let event = struck(telling, kind::AGENT_ILL, agent, description);
            told.push(event.with("energy_lost", lost));
        }
    }
}

/// Decides who is dormant, who wakes and who dies; what the dead owned goes to the pool.
pub(super) fn settle(society: &mut Society, telling: Telling<'_>, told: &mut Vec<NewEvent>) {
    let day = society.common.day;
    let Society { agents, common, .. } = society;
    for agent in agents.values_mut().filter(|agent| !agent.is_dead()) {
        let (number, energy) = (agent.number, agent.has(Resource::Energy));
        let starving = agent.days_hungry >= DORMANT_AFTER;
        if agent.is_alive() {
            if energy > 0 && !starving {
                continue;
            }
            agent.state = Condition::Dormant;
            let cause = if starving { "hunger" } else { "exhaustion" };
            let description = format!("Agent {number} is dormant from {cause}.");
            let event = struck(telling, kind::AGENT_DORMANT, agent, description);
            told.push(event.with("cause", cause));
            continue;
        }
        agent.days_dormant += 1;
        if energy >= WAKES_WITH && agent.days_hungry == 0 {
            agent.state = Condition::Alive;
            agent.days_dormant = 0;
            agent.drowsy = true;
            let description = format!("Agent {number} wakes up.");
            told.push(struck(telling, kind::AGENT_AWOKE, agent, description));
        } else if agent.days_dormant >= DIES_AFTER {
            agent.state = Condition::Dead;
            agent.died_on = Some(day);
            agent.stock.pour_into(&mut common.pool);
            common.died += 1;
            let description = format!("Agent {number} dies.");
            let event = struck(telling, kind::AGENT_DIED, agent, description);
            told.push(event.with("days_hungry", agent.days_hungry));
        }
    }
}

fn struck(telling: Telling<'_>, event_type: &str, agent: &Agent, description: String) -> NewEvent {
    telling.event(event_type, Category::Survival, description).of_agent(agent.number)
}
