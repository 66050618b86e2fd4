//! Enforces the stop conditions: reads their figures, and ends the run in one commit when one trips.

mod observe;
#[cfg(test)]
mod tests;

use serde_json::{Map, json};
use tracing::{info, warn};

use crate::Result;
use crate::control::{Command, ControlState};
use crate::execute::{Executor, Intent, WritePermit, use_of_runs};
use crate::guardrail::evaluate;
use crate::run::{RunGate, RunRecord};
pub(crate) use observe::Observer;

/// Pauses or ends those open runs that have reached a limit; returns their number. `only` is the run to
/// look at, otherwise all are. The first of several processes that see it acts.
///
/// # Errors
/// The store failed. Some of the runs may have been paused or ended.
pub(crate) async fn enforce_limits(
    executor: &Executor,
    state: &ControlState,
    only: Option<&str>,
) -> Result<usize> {
    let is_due = |run: &&RunRecord| {
        run.limits.is_some()
            && run.gate() == RunGate::Open
            && only.is_none_or(|only| only == run.run_id)
    };
    let runs: Vec<_> = state.open_runs().filter(is_due).cloned().collect();
    if runs.is_empty() {
        return Ok(0);
    }
    let used = use_of_runs(&*executor.store, &runs, executor.clock.now()).await?;
    let mut reached = 0;
    for (run, used) in runs.iter().zip(used) {
        let Some(limit) = run.reached_limit(&used) else { continue };
        let reason = format!("{}_reached", limit.name);
        info!(code = "run_limit_reached", run = run.run_id, reason, "run limit reached");
        let permit = WritePermit::system("run_limits").with_reason(Some(reason));
        let command = Command::LimitReached { run_id: run.run_id.clone(), used };
        executor.execute(&permit, &Intent::Command(command), |_, _| ()).await?;
        reached += 1;
    }
    Ok(reached)
}

/// Ends the open run of that name if a stop condition has tripped, and returns the reason.
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
    run_id: &str,
) -> Result<Option<String>> {
    let Some(run) = state.known_run(run_id).filter(|run| run.is_open()) else { return Ok(None) };
    let settings = state.effective(&executor.registry);
    let now = executor.clock.now();
    let observed = observer.observe(&*executor.store, Some(run), &settings, now).await?;
    let conditions = evaluate(&observed, &settings);
    let Some(tripped) = conditions.iter().find(|condition| condition.trips()) else {
        return Ok(None);
    };
    let reason = tripped.condition.clone();
    let mut details = Map::from_iter([("conditions".to_owned(), json!(conditions))]);
    if let Some(call) = observed.refused_call {
        details.insert("refused_call_usd".to_owned(), json!(call.dollars()));
    }
    if let Some(budget) = &observed.spent_budget {
        details.insert("budget".to_owned(), json!(budget.id));
    }
    let run_id = run.run_id.clone();
    warn!(code = "guardrail_tripped", run = run_id, reason, "stop condition tripped");
    let stop = Command::GuardrailStop { run_id: run_id.clone(), reason: reason.clone(), details };
    let permit = WritePermit::system("guardrail").with_reason(Some(reason.clone()));
    executor.execute(&permit, &Intent::Command(stop), |_, _| ()).await?;
    observer.forget_refusal(&run_id);
    Ok(Some(reason))
}
