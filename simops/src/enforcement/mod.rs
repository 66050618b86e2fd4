//! Enforces the stop conditions: reads their figures, and ends the run in one commit when one trips.

mod observe;
#[cfg(test)]
mod tests;

use serde_json::{Map, json};
use tracing::warn;

use crate::Result;
use crate::control::{Command, ControlState};
use crate::execute::{Executor, Intent, WritePermit};
use crate::guardrail::evaluate;
pub(crate) use observe::Observer;

/// Ends the open run if a stop condition has tripped, and returns the reason.
///
/// # Errors
/// The store failed. Whether the run was stopped is unknown if the error is `Unavailable`.
///
/// # Cancel safety
/// A dropped call may or may not have stopped the run; the next check continues.
pub(crate) async fn enforce(
    executor: &Executor,
    observer: &Observer,
    state: &ControlState,
) -> Result<Option<String>> {
    let Some(run) = state.open_run() else { return Ok(None) };
    let settings = state.effective(&executor.registry);
    let now = executor.clock.now();
    let observed = observer.observe(&*executor.store, state, &settings, now).await?;
    let conditions = evaluate(&observed, &settings);
    let Some(tripped) = conditions.iter().find(|condition| condition.trips()) else {
        return Ok(None);
    };
    let reason = tripped.condition.clone();
    let mut details = Map::from_iter([("conditions".to_owned(), json!(conditions))]);
    if let Some(call) = observed.refused_call {
        details.insert("refused_call_usd".to_owned(), json!(call.dollars()));
    }
    let run_id = run.run_id.clone();
    warn!(code = "guardrail_tripped", run = run_id, reason, "stop condition tripped");
    let stop = Command::GuardrailStop { run_id: run_id.clone(), reason: reason.clone(), details };
    let permit = WritePermit::system("guardrail").with_reason(Some(reason.clone()));
    executor.execute(&permit, &Intent::Command(stop), |_, _| ()).await?;
    observer.forget_refusal(&run_id);
    Ok(Some(reason))
}
