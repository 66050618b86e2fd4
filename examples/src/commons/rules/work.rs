//! Work brings goods and costs energy; rest brings a little energy.

use super::super::law::Rule;
use super::super::society::Weather;
use super::super::stock::Resource;
use super::super::telling::{Category, kind};
use super::{Scene, Told};

/// What a tool adds to a harvest before it is worn out.
const TOOL_YIELD: u32 = 2;

pub(super) fn work(scene: &mut Scene<'_>, resource: Resource) -> Told {
    let agent = scene.agent;
    let weather = scene.society.weather();
    let organised =
        scene.society.common.laws.iter().any(|law| law.rule == Rule::WorkBonus { resource });
    let luck = scene.chance.below(3);
    let worker = scene.society.agent_mut(agent)?;
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
    let event = scene
        .telling
        .event(kind::WORK, Category::Economy, description)
        .with("resource", resource.as_str())
        .with("amount", amount)
        .with("energy_spent", energy_spent)
        .with("tools_used", tools_used)
        .with("weather", weather.as_str());
    Ok(vec![event])
}

pub(super) fn rest(scene: &mut Scene<'_>) -> Told {
    let agent = scene.agent;
    let resting = scene.society.agent_mut(agent)?;
    resting.stock.add(Resource::Energy, 1);
    let dormant = !resting.is_alive();
    let manner = if dormant { "lies dormant" } else { "rests" };
    let event = scene
        .telling
        .event(kind::REST, Category::Survival, format!("Agent {agent} {manner}."))
        .with("resource", Resource::Energy.as_str())
        .with("amount", 1)
        .with("dormant", dormant);
    Ok(vec![event])
}
