//! Eating, hunger, illness, dormancy, waking and death.

use serde_json::json;

use super::super::agent::Condition;
use super::super::event_log::{EventLog, kind};
use super::super::rng::{Purpose, SeededRng};
use super::super::society::Society;
use super::super::stock::Resource;

/// The additional energy cost of a day without food.
const HUNGER_ENERGY_COST: u32 = 1;
/// An agent becomes dormant after this many days without food.
const DORMANT_AFTER_DAYS: u32 = 3;
/// A dormant agent that is not hungry wakes up with this much energy.
const WAKE_ENERGY: u32 = 3;
/// An agent dies after this many dormant days.
const DEATH_AFTER_DAYS: u32 = 4;
/// An agent falls ill with a probability of 1 in this number each day.
const ILLNESS_ODDS: u32 = 40;
/// The energy cost of an illness.
const ILLNESS_ENERGY_COST: u32 = 6;

/// Every agent eats one food and spends one energy; dormant agents spend none.
pub(super) fn eat(society: &mut Society, log: &mut EventLog) {
    for agent in society.living_mut() {
        let number = agent.number;
        let hungry = agent.stock.take(Resource::Food, 1).is_err();
        agent.days_hungry = if hungry { agent.days_hungry + 1 } else { 0 };
        if agent.is_alive() {
            let spent = 1 + if hungry { HUNGER_ENERGY_COST } else { 0 };
            agent.stock.take_up_to(Resource::Energy, spent);
        }
        if hungry {
            let description = format!("Agent {number} has nothing to eat.");
            let details = json!({ "days": agent.days_hungry });
            log.add_survival(kind::AGENT_HUNGRY, number, description, details);
        }
    }
}

pub(super) fn fall_ill(society: &mut Society, log: &mut EventLog) {
    let (seed, day) = (society.common.seed, society.common.day);
    for agent in society.living_mut().filter(|agent| agent.is_alive()) {
        if SeededRng::new(seed, Purpose::Illness, agent.number, day).is_one_in(ILLNESS_ODDS) {
            let lost = agent.stock.take_up_to(Resource::Energy, ILLNESS_ENERGY_COST);
            let description = format!("Agent {} falls ill.", agent.number);
            let details = json!({ "energy_lost": lost });
            log.add_survival(kind::AGENT_ILL, agent.number, description, details);
        }
    }
}

/// Updates which agents are dormant, awake or dead. The goods of the dead go to the common pool.
pub(super) fn update_conditions(society: &mut Society, log: &mut EventLog) {
    let day = society.common.day;
    let Society { agents, common, .. } = society;
    for agent in agents.values_mut().filter(|agent| !agent.is_dead()) {
        let (number, energy) = (agent.number, agent.has(Resource::Energy));
        let starving = agent.days_hungry >= DORMANT_AFTER_DAYS;
        if agent.is_alive() {
            if energy > 0 && !starving {
                continue;
            }
            agent.state = Condition::Dormant;
            let cause = if starving { "hunger" } else { "exhaustion" };
            let description = format!("Agent {number} is dormant from {cause}.");
            log.add_survival(kind::AGENT_DORMANT, number, description, json!({ "cause": cause }));
            continue;
        }
        agent.days_dormant += 1;
        if energy >= WAKE_ENERGY && agent.days_hungry == 0 {
            agent.state = Condition::Alive;
            agent.days_dormant = 0;
            agent.drowsy = true;
            let description = format!("Agent {number} wakes up.");
            log.add_survival(kind::AGENT_AWOKE, number, description, json!({}));
        } else if agent.days_dormant >= DEATH_AFTER_DAYS {
            agent.state = Condition::Dead;
            agent.died_on = Some(day);
            agent.stock.move_all_to(&mut common.pool);
            common.died += 1;
            let description = format!("Agent {number} dies.");
            let details = json!({ "days_hungry": agent.days_hungry });
            log.add_survival(kind::AGENT_DIED, number, description, details);
        }
    }
}
