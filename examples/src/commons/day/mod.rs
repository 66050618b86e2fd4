//! The end of a day: what the society owes, eats, decides and loses, in this order.

mod arrivals;
mod survival;
mod treasury;

use serde_json::json;
use simops::event::NewEvent;

use super::proposal::MOST_OPEN;
use super::rules::close_overdue;
use super::society::Society;
use super::telling::{Category, Telling, kind};

/// The dead are remembered for so many days.
const REMEMBERED_FOR: i64 = 30;
/// So many closed proposals are remembered.
const PROPOSALS_KEPT: usize = 4 * MOST_OPEN;

/// Whether there have been as many turns today as agents live.
pub(super) fn is_over(society: &Society) -> bool {
    let living = i64::try_from(society.living().count()).unwrap_or(i64::MAX);
    society.common.turns_today >= living
}

/// Ends the day and begins the next.
pub(super) fn end(society: &mut Society, telling: Telling<'_>, told: &mut Vec<NewEvent>) {
    let weather = society.weather().as_str();
    let tithes = treasury::collect(society);
    let fed = treasury::feed_the_poor(society);
    let spoiled = treasury::spoil(society);
    survival::eat(society, telling, told);
    survival::fall_ill(society, telling, told);
    survival::settle(society, telling, told);
    close_overdue(society, telling, told);
    expire_laws(society, telling, told);
    let joined = arrivals::arrive(society, telling, told);
    forget(society);

    let day = society.common.day;
    let living = society.living().count();
    let dormant = society.living().filter(|agent| !agent.is_alive()).count();
    let description = format!("Day {day} ends; {living} agents live, {dormant} of them dormant.");
    told.push(
        telling
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
    told.push(inventories(society, telling));
    society.common.day += 1;
    society.common.turns_today = 0;
}

fn inventories(society: &Society, telling: Telling<'_>) -> NewEvent {
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
    let description = format!("{} agents count what they own.", inventories.len());
    telling
        .event(kind::INVENTORY_SNAPSHOT, Category::Time, description)
        .with("inventories", inventories)
        .with("pool", json!(society.common.pool))
}

fn expire_laws(society: &mut Society, telling: Telling<'_>, told: &mut Vec<NewEvent>) {
    let day = society.common.day;
    let over = society.common.laws.extract_if(.., |law| law.until <= day);
    told.extend(over.map(|law| {
        let description = format!("Law {} ends: {}.", law.id, law.rule);
        telling
            .event(kind::LAW_EXPIRED, Category::Governance, description)
            .with("law_id", law.id)
            .with("proposal_id", law.proposal_id)
    }));
}

/// Keeps the world small however long it lives.
fn forget(society: &mut Society) {
    let day = society.common.day;
    society.agents.retain(|_, agent| agent.died_on.is_none_or(|died| day - died < REMEMBERED_FOR));
    let closed = society.proposals.values().filter(|proposal| !proposal.is_open());
    let closed: Vec<i64> = closed.map(|proposal| proposal.id).collect();
    for id in closed.iter().rev().skip(PROPOSALS_KEPT) {
        society.proposals.remove(id);
    }
}
