//! One turn: a decision becomes an action, the action changes the society, and perhaps the day
//! ends. Pure: the world and the decision go in, changed documents and events come out.

use serde_json::{Value, json};
use simops::Result;
use simops::event::NewEvent;
use simops::host::{Outcome, Turn};

use super::action::Action;
use super::chance::{Chance, Purpose};
use super::decision::{Calls, Decision};
use super::rules::{self, Refusal, Scene};
use super::society::Society;
use super::telling::{Category, Telling, kind};
use super::{day, fallback};

/// What `decision` changes. Nothing when the agent has died, or left, since its turn began.
pub(super) fn take(turn: &Turn, decision: Decision) -> Result<Outcome> {
    let before = Society::load(&turn.world.documents)?;
    let mut society = before.clone();
    let Some(agent) = before.living().find(|agent| agent.number == turn.agent_id) else {
        return Ok(Outcome::default());
    };
    let mut chance = Chance::of(society.common.seed, Purpose::Turn, agent.number, agent.turns);
    let telling = Telling::of(turn, society.common.day);
    let decision = if agent.is_lucid() { decision } else { Decision::rule("not lucid") };
    let mode = decision.mode();
    let calls = decision.calls().cloned();
    let action = match decision {
        Decision::Model { action, .. } => action,
        Decision::Rule { .. } => fallback::choose(&society, turn.agent_id, &mut chance),
    };

    let mut told = attempt(&mut society, turn.agent_id, &action, telling, &mut chance);
    // The first event is the action; those after it are what followed from it.
    if let Some(first) = told.first_mut() {
        *first = with_calls(first.clone().of_agent(turn.agent_id).as_action(mode), calls);
    }
    if let Some(agent) = society.agents.get_mut(&turn.agent_id) {
        agent.turns += 1;
        agent.drowsy = false;
    }
    society.common.turns_today += 1;
    if day::is_over(&society) {
        day::end(&mut society, telling, &mut told);
    }
    Ok(Outcome { documents: society.changes_from(&before)?, events: told })
}

/// Makes the action true, or tells why it is not possible and changes nothing.
fn attempt(
    society: &mut Society,
    agent: i64,
    action: &Action,
    telling: Telling<'_>,
    chance: &mut Chance,
) -> Vec<NewEvent> {
    let mut after = society.clone();
    let mut scene = Scene { society: &mut after, agent, telling, chance };
    match rules::apply(&mut scene, action) {
        Ok(told) => {
            *society = after;
            told
        }
        Err(refusal) => vec![refused(agent, action, &refusal, telling)],
    }
}

fn refused(agent: i64, action: &Action, refusal: &Refusal, telling: Telling<'_>) -> NewEvent {
    let name = action.name();
    let description = format!("Agent {agent} tries to {name}, in vain: {refusal}.");
    telling
        .event(kind::INVALID_ACTION, Category::Invalid, description)
        .with("attempted", name)
        .with("reason", refusal.to_string())
}

/// Notes in the event's runtime which calls its decision took.
fn with_calls(mut event: NewEvent, calls: Option<Calls>) -> NewEvent {
    let (Some(calls), Some(Value::Object(runtime))) = (calls, event.metadata.get_mut("runtime"))
    else {
        return event;
    };
    runtime.insert("calls".to_owned(), json!(calls));
    event
}
