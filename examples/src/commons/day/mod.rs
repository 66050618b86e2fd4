//! The end of a day: tithes, food, illness, votes and laws, new agents, in this order.

mod arrivals;
mod survival;
mod treasury;

use serde_json::json;
use simops::event::NewEvent;

use super::event_log::{Category, EventContext, kind};
use super::proposal::MAX_OPEN_PROPOSALS;
use super::rules::close_overdue;
use super::society::Society;

/// How long a dead agent's document is kept, in days.
const DEAD_RETENTION_DAYS: i64 = 30;
/// The most closed proposals that are kept.
const MAX_CLOSED_PROPOSALS: usize = 4 * MAX_OPEN_PROPOSALS;

/// Whether as many turns were taken today as agents live.
pub(super) fn is_over(society: &Society) -> bool {
    let living = i64::try_from(society.living().count()).unwrap_or(i64::MAX);
    society.common.turns_today >= living
}

/// Ends the day and begins the next.
pub(super) fn end(
    society: &mut Society,
    event_context: EventContext<'_>,
    events: &mut Vec<NewEvent>,
) {
    let weather = society.weather().as_str();
    let tithes = treasury::collect(society);
    let fed = treasury::feed_the_poor(society);
    let spoiled = treasury::spoil(society);
    survival::eat(society, event_context, events);
    survival::fall_ill(society, event_context, events);
    survival::update_conditions(society, event_context, events);
    close_overdue(society, event_context, events);
    expire_laws(society, event_context, events);
    let joined = arrivals::add_newcomer(society, event_context, events);
    delete_old_records(society);

    let day = society.common.day;
    let living = society.living().count();
    let dormant = society.living().filter(|agent| !agent.is_alive()).count();
    let description = format!("Day {day} ends; {living} agents live, {dormant} of them dormant.");
    events.push(
        event_context
            .event(kind::DAY_ENDED, Category::Time, description)
            .with("living", living)
            .with("alive", living - dormant)
            .with("dormant", dormant)
            .with("died_ever", society.common.died)
            .with("joined", joined)
            .with("tithes", tithes)
            .with("fed_by_pool", fed)
            .with("spoiled", spoiled)
            .with("weather", weather)
            .with("laws_in_force", society.common.laws.len())
            .with("open_proposals", society.open_proposals().count()),
    );
    events.push(inventories(society, event_context));
    society.common.day += 1;
    society.common.turns_today = 0;
}

fn inventories(society: &Society, event_context: EventContext<'_>) -> NewEvent {
    let inventories = society.living().map(|agent| {
        json!({
            "agent_id": agent.number,
            "state": agent.state,
            "food": agent.stock.food,
            "energy": agent.stock.energy,
            "materials": agent.stock.materials,
        })
    });
    let inventories: Vec<_> = inventories.collect();
    let description = format!("Inventory of {} agents.", inventories.len());
    event_context
        .event(kind::INVENTORY_SNAPSHOT, Category::Time, description)
        .with("inventories", inventories)
        .with("pool", json!(society.common.pool))
}

fn expire_laws(society: &mut Society, event_context: EventContext<'_>, events: &mut Vec<NewEvent>) {
    let day = society.common.day;
    let expired = society.common.laws.extract_if(.., |law| law.until <= day);
    events.extend(expired.map(|law| {
        let description = format!("Law {} ends: {}.", law.id, law.rule);
        event_context
            .event(kind::LAW_EXPIRED, Category::Governance, description)
            .with("law_id", law.id)
            .with("proposal_id", law.proposal_id)
    }));
}

/// Bounds the size of the world, however long it runs.
fn delete_old_records(society: &mut Society) {
    let day = society.common.day;
    society
        .agents
        .retain(|_, agent| agent.died_on.is_none_or(|died| day - died < DEAD_RETENTION_DAYS));
    let closed = society.proposals.values().filter(|proposal| !proposal.is_open());
    let closed: Vec<i64> = closed.map(|proposal| proposal.id).collect();
    for id in closed.iter().rev().skip(MAX_CLOSED_PROPOSALS) {
        society.proposals.remove(id);
    }
}
