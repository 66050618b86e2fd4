//! Eating, hunger, illness, dormancy, waking and death.

use simops::event::NewEvent;

use super::super::agent::{Agent, Condition};
use super::super::event_log::{Category, EventContext, kind};
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
pub(super) fn eat(
    society: &mut Society,
    event_context: EventContext<'_>,
    events: &mut Vec<NewEvent>,
) {
    for agent in society.living_mut() {
        let number = agent.number;
        let hungry = agent.stock.take(Resource::Food, 1).is_err();
        agent.days_hungry = if hungry { agent.days_hungry + 1 } else { 0 };
        if agent.is_alive() {
            let spent = 1 + if hungry { HUNGER_ENERGY_COST } else { 0 };
            agent.stock.take_up_to(Resource::Energy, spent);
        }
        if hungry {
            let days = agent.days_hungry;
            let description = format!("Agent {number} has nothing to eat.");
            events.push(
                survival_event(event_context, kind::AGENT_HUNGRY, agent, description)
                    .with("days", days),
            );
        }
    }
}

pub(super) fn fall_ill(
    society: &mut Society,
    event_context: EventContext<'_>,
    events: &mut Vec<NewEvent>,
) {
    let (seed, day) = (society.common.seed, society.common.day);
    for agent in society.living_mut().filter(|agent| agent.is_alive()) {
        if SeededRng::new(seed, Purpose::Illness, agent.number, day).is_one_in(ILLNESS_ODDS) {
            let lost = agent.stock.take_up_to(Resource::Energy, ILLNESS_ENERGY_COST);
            let description = format!("Agent {} falls ill.", agent.number);
            let event = survival_event(event_context, kind::AGENT_ILL, agent, description);
            events.push(event.with("energy_lost", lost));
        }
    }
}

/// Updates which agents are dormant, awake or dead. The goods of the dead go to the common pool.
pub(super) fn update_conditions(
    society: &mut Society,
    event_context: EventContext<'_>,
    events: &mut Vec<NewEvent>,
) {
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
            let event = survival_event(event_context, kind::AGENT_DORMANT, agent, description);
            events.push(event.with("cause", cause));
            continue;
        }
        agent.days_dormant += 1;
        if energy >= WAKE_ENERGY && agent.days_hungry == 0 {
            agent.state = Condition::Alive;
            agent.days_dormant = 0;
            agent.drowsy = true;
            let description = format!("Agent {number} wakes up.");
            events.push(survival_event(event_context, kind::AGENT_AWOKE, agent, description));
        } else if agent.days_dormant >= DEATH_AFTER_DAYS {
            agent.state = Condition::Dead;
            agent.died_on = Some(day);
            agent.stock.move_all_to(&mut common.pool);
            common.died += 1;
            let description = format!("Agent {number} dies.");
            let event = survival_event(event_context, kind::AGENT_DIED, agent, description);
            events.push(event.with("days_hungry", agent.days_hungry));
        }
    }
}

fn survival_event(
    event_context: EventContext<'_>,
    event_type: &str,
    agent: &Agent,
    description: String,
) -> NewEvent {
    event_context.event(event_type, Category::Survival, description).of_agent(agent.number)
}
