//! The common pool: collects tithes and feeds agents without food.

use super::super::law::{Rule, TAX_FREE_AMOUNT};
use super::super::society::Society;
use super::super::stock::Resource;

/// Collects all tithes in force and returns the collected amount.
pub(super) fn collect(society: &mut Society) -> u32 {
    let tithes = society.common.laws.iter().filter_map(|law| match law.rule {
        Rule::Tithe { resource, percent } => Some((resource, percent)),
        _ => None,
    });
    let tithes: Vec<_> = tithes.collect();
    let mut collected = 0;
    for (resource, percent) in tithes {
        for agent in society.agents.values_mut().filter(|agent| agent.is_alive()) {
            let taxed = u64::from(agent.has(resource).saturating_sub(TAX_FREE_AMOUNT));
            let due = u32::try_from((taxed * u64::from(percent)).div_ceil(100)).unwrap_or(u32::MAX);
            let paid = agent.stock.take_up_to(resource, due);
            society.common.pool.add(resource, paid);
            collected += paid;
        }
    }
    collected
}

/// The pool's remaining food divided by this number spoils each day.
const SPOILAGE_DIVISOR: u32 = 3;

/// Spoils a part of the remaining food and returns the lost amount.
pub(super) fn spoil(society: &mut Society) -> u32 {
    let pool = &mut society.common.pool;
    pool.take_up_to(Resource::Food, pool.food.div_ceil(SPOILAGE_DIVISOR))
}

/// Gives one food to each agent without food, hungriest first, while the pool lasts. Returns the
/// number of agents fed.
pub(super) fn feed_the_poor(society: &mut Society) -> u32 {
    let poor = society.living().filter(|agent| agent.has(Resource::Food) == 0);
    let mut poor: Vec<_> = poor.map(|agent| (agent.days_hungry, agent.number)).collect();
    poor.sort_unstable_by_key(|(days, number)| (std::cmp::Reverse(*days), *number));
    let mut fed = 0;
    for (_, number) in poor {
        let Some(agent) = society.agents.get_mut(&number) else { continue };
        let given = society.common.pool.take_up_to(Resource::Food, 1);
        agent.stock.add(Resource::Food, given);
        fed += given;
    }
    fed
}
