//! One turn: a decision becomes an action, the action changes the society, and the day may end. Pure:
//! from the world and the decision it computes the changed documents and the events.

use serde_json::{Value, json};
use simops::Result;
use simops::event::NewEvent;
use simops::host::{Outcome, Turn};

use super::action::Action;
use super::decision::{Calls, Decision};
use super::event_log::{Category, EventContext, kind};
use super::refusal::Refusal;
use super::rng::{Purpose, SeededRng};
use super::rules::{self, ActionContext};
use super::society::Society;
use super::{day, fallback};

/// The changes made by `decision`; none if the agent died after its turn began.
pub(super) fn take(turn: &Turn, decision: Decision) -> Result<Outcome> {
    let before = Society::load(&turn.world.documents)?;
    let mut society = before.clone();
    let Some(agent) = before.living().find(|agent| agent.number == turn.agent_id) else {
        return Ok(Outcome::default());
    };
    let mut rng = SeededRng::new(society.common.seed, Purpose::Turn, agent.number, agent.turns);
    let event_context = EventContext::of(turn, society.common.day);
    let decision = if agent.can_decide() {
        decision
    } else {
        Decision::rule("the agent is dormant or just woke up")
    };
    let mode = decision.mode();
    let calls = decision.calls().cloned();
    let action = match decision {
        Decision::Model { action, .. } => action,
        Decision::Rule { .. } => fallback::choose(&society, turn.agent_id, &mut rng),
    };

    let mut events = try_action(&mut society, turn.agent_id, &action, event_context, &mut rng);
    // The first event is the action; the others are its consequences.
    if let Some(first) = events.first_mut() {
        *first = with_calls(first.clone().of_agent(turn.agent_id).as_action(mode), calls);
    }
    if let Some(agent) = society.agents.get_mut(&turn.agent_id) {
        agent.turns += 1;
        agent.drowsy = false;
    }
    society.common.turns_today += 1;
    if day::is_over(&society) {
        day::end(&mut society, event_context, &mut events);
    }
    Ok(Outcome { documents: society.changes_from(&before)?, events })
}

/// Applies the action. If it is refused, returns an `invalid_action` event and changes nothing.
fn try_action(
    society: &mut Society,
    agent: i64,
    action: &Action,
    event_context: EventContext<'_>,
    rng: &mut SeededRng,
) -> Vec<NewEvent> {
    let mut after = society.clone();
    let mut context = ActionContext { society: &mut after, agent, event_context, rng };
    match rules::apply(&mut context, action) {
        Ok(events) => {
            *society = after;
            events
        }
        Err(refusal) => vec![invalid_action(agent, action, &refusal, event_context)],
    }
}

fn invalid_action(
    agent: i64,
    action: &Action,
    refusal: &Refusal,
    event_context: EventContext<'_>,
) -> NewEvent {
    let name = action.name();
    let description = format!("Agent {agent}'s action {name} is refused: {refusal}.");
    event_context
        .event(kind::INVALID_ACTION, Category::Invalid, description)
        .with("attempted", name)
        .with("reason", refusal.to_string())
}

/// Adds the model calls of the decision to the event's `runtime` metadata.
fn with_calls(mut event: NewEvent, calls: Option<Calls>) -> NewEvent {
    let (Some(calls), Some(Value::Object(runtime))) = (calls, event.metadata.get_mut("runtime"))
    else {
        return event;
    };
    runtime.insert("calls".to_owned(), json!(calls));
    event
}
