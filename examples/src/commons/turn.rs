//! One turn: a decision becomes an action, the action changes the society, and the day may end. Pure:
//! from the world and the decision it computes the changed documents and the events.

use serde_json::json;
use simops::Result;
use simops::event::RuntimeMode;
use simops::host::{Outcome, Turn};

use super::decision::Decision;
use super::event_log::{EventLog, category, kind};
use super::rng::{Purpose, SeededRng};
use super::rules::{self, ActionContext};
use super::society::Society;
use super::{day, fallback};

/// The changes made by `decision`; none if the agent died after its turn began.
pub(super) fn take(turn: &Turn, decision: Decision) -> Result<Outcome> {
    let before = Society::load(&turn.world.documents)?;
    let Some(agent) = before.living().find(|agent| Some(agent.number) == turn.agent_id.number())
    else {
        return Ok(Outcome::default());
    };
    let number = agent.number;
    let mut rng = SeededRng::new(before.common.seed, Purpose::Turn, agent.number, agent.turns);
    let decision = if agent.can_decide() {
        decision
    } else {
        Decision::rule("the agent is dormant or just woke up")
    };
    let (mode, action, calls) = match decision {
        Decision::Model { action, calls } => (RuntimeMode::Checkpoint, action, Some(calls)),
        Decision::Rule { calls, .. } => {
            let action = fallback::choose(&before, number, &mut rng);
            (RuntimeMode::DeterministicFallback, action, calls)
        }
    };

    let mut society = before.clone();
    let mut log = EventLog::new(turn, before.common.day);
    let (agent, rng) = (number, &mut rng);
    let mut context = ActionContext { society: &mut society, agent, log: &mut log, rng };
    if let Err(refusal) = rules::apply(&mut context, &action) {
        society = before.clone();
        let (name, reason) = (action.name(), refusal.detail());
        let description = format!("Agent {agent}'s action {name} is refused: {reason}.");
        let details = json!({ "attempted": name, "reason": reason });
        log.events.clear();
        log.add(kind::INVALID_ACTION, category::INVALID, description, details);
    }
    // The first event is the action; the others are its consequences.
    if let Some(first) = log.events.first_mut() {
        *first = first.clone().of_agent(agent).as_action(mode);
        if let Some(calls) = calls {
            first.metadata["runtime"]["calls"] = json!(calls);
        }
    }
    if let Some(agent) = society.agents.get_mut(&agent) {
        agent.turns += 1;
        agent.drowsy = false;
    }
    society.common.turns_today += 1;
    if day::is_over(&society) {
        day::end(&mut society, &mut log);
    }
    Ok(Outcome { documents: society.changes_from(&before)?, events: log.events })
}
