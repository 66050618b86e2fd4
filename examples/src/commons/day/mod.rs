//! The end of a day: tithes, food, illness, votes and laws, new agents, in this order.

mod arrivals;
mod survival;
mod treasury;

use serde_json::json;

use super::event_log::{EventLog, category, kind};
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
pub(super) fn end(society: &mut Society, log: &mut EventLog) {
    let weather = society.weather().as_str();
    let tithes = treasury::collect(society);
    let fed = treasury::feed_the_poor(society);
    let spoiled = treasury::spoil(society);
    survival::eat(society, log);
    survival::fall_ill(society, log);
    survival::update_conditions(society, log);
    close_overdue(society, log);
    expire_laws(society, log);
    let joined = arrivals::add_newcomer(society, log);
    delete_old_records(society);

    let day = society.common.day;
    let living = society.living().count();
    let dormant = society.living().filter(|agent| !agent.is_alive()).count();
    let description = format!("Day {day} ends; {living} agents live, {dormant} of them dormant.");
    let details = json!({
        "living": living,
        "alive": living - dormant,
        "dormant": dormant,
        "died_ever": society.common.died,
        "joined": joined,
        "tithes": tithes,
        "fed_by_pool": fed,
        "spoiled": spoiled,
        "weather": weather,
        "laws_in_force": society.common.laws.len(),
        "open_proposals": society.open_proposals().count(),
    });
    log.add(kind::DAY_ENDED, category::TIME, description, details);
    log_inventories(society, log);
    society.common.day += 1;
    society.common.turns_today = 0;
}

fn log_inventories(society: &Society, log: &mut EventLog) {
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
    let details = json!({ "inventories": inventories, "pool": society.common.pool });
    log.add(kind::INVENTORY_SNAPSHOT, category::TIME, description, details);
}

fn expire_laws(society: &mut Society, log: &mut EventLog) {
    let day = society.common.day;
    let expired = society.common.laws.extract_if(.., |law| law.until <= day);
    for law in expired {
        let description = format!("Law {} ends: {}.", law.id, law.rule);
        let details = json!({ "law_id": law.id, "proposal_id": law.proposal_id });
        log.add(kind::LAW_EXPIRED, category::GOVERNANCE, description, details);
    }
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
