//! Work yields goods and costs energy; rest yields one energy.

use serde_json::json;
use simops::Result;

use super::super::event_log::{category, kind};
use super::super::law::Rule;
use super::super::society::Weather;
use super::super::stock::Resource;
use super::ActionContext;

/// How much a tool adds to one harvest; the tool is then used up.
const TOOL_YIELD: u32 = 2;

pub(super) fn work(context: &mut ActionContext<'_>, resource: Resource) -> Result<()> {
    let agent = context.agent;
    let weather = context.society.weather();
    let organised =
        context.society.common.laws.iter().any(|law| law.rule == Rule::WorkBonus { resource });
    let luck = context.rng.below(3);
    let worker = context.society.agent_mut(agent)?;
    let energy_spent = u32::from(resource != Resource::Energy);
    worker.stock.take(Resource::Energy, energy_spent)?;
    let tools_used = match resource {
        Resource::Food => worker.stock.take_up_to(Resource::Materials, 1),
        Resource::Energy | Resource::Materials => 0,
    };
    let yielded = worker.skill.get(resource) + luck + tools_used * TOOL_YIELD;
    let yielded = yielded + u32::from(organised);
    let amount = match (resource, weather) {
        (Resource::Food, Weather::Drought) => yielded / 3,
        (Resource::Food, Weather::Plenty) => yielded + 1,
        _ => yielded,
    };
    worker.stock.add(resource, amount);
    let description = format!("Agent {agent} works and gains {amount} {resource}.");
    let details = json!({
        "resource": resource,
        "amount": amount,
        "energy_spent": energy_spent,
        "tools_used": tools_used,
        "weather": weather.as_str(),
    });
    context.log.add(kind::WORK, category::ECONOMY, description, details);
    Ok(())
}

pub(super) fn rest(context: &mut ActionContext<'_>) -> Result<()> {
    let agent = context.agent;
    let resting = context.society.agent_mut(agent)?;
    resting.stock.add(Resource::Energy, 1);
    let dormant = !resting.is_alive();
    let manner = if dormant { "is dormant" } else { "rests" };
    let details = json!({ "resource": Resource::Energy, "amount": 1, "dormant": dormant });
    let description = format!("Agent {agent} {manner}.");
    context.log.add(kind::REST, category::SURVIVAL, description, details);
    Ok(())
}
