//! Limits of a run: their change, and what becomes of a run that has reached one.

use serde_json::{Map, Value, json};

use super::Context;
use super::change::ChangeBuilder;
use crate::event::kind;
use crate::run::{AtLimit, EndedBy, RunGate, RunRecord, RunUse};
use crate::{Error, Result};

/// A change of a run's limits.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct LimitChange {
    /// The values by name; null removes a limit.
    pub limits: Map<String, Value>,
    /// Whether a paused run goes on.
    pub resume: bool,
    /// Whether a limit may be set that is reached already.
    pub force: bool,
}

/// The audit key of the limits of a run.
const RUN_LIMITS: &str = "RUN_LIMITS";

/// Changes the limits of `run`, which has used `used`.
///
/// # Errors
/// Returns `Conflict` without such a run, for one that has ended, and for a limit that it has reached
/// already, unless that is forced.
pub(super) fn set(
    change: &mut ChangeBuilder<'_>,
    run: Option<&RunRecord>,
    used: &RunUse,
    LimitChange { limits, resume: goes_on, force }: &LimitChange,
) -> Result<()> {
    let Some(run) = run else {
        return Err(Error::conflict("there is no run whose limits could change"));
    };
    // A run that a limit ended goes on by the same step that raises it; no other one does.
    let ended_by_limit = run.is_resumable() && run.limit_reached.is_some();
    let is_changeable = run.is_open() || (ended_by_limit && *goes_on);
    if !is_changeable {
        let instead = match ended_by_limit {
            true => "set resume (--resume) to let it go on",
            false => "its limits stay as they are",
        };
        return Err(Error::conflict(format!("run {} has ended; {instead}", run.run_id)));
    }
    let limits = run.limits.unwrap_or_default().with(limits)?;
    let limits = Some(limits).filter(|limits| !limits.is_empty());
    let limited = RunRecord { limits, ..run.clone() };
    let will_run = *goes_on || (run.is_open() && !run.paused);
    if let Some(reached) = limited.reached_limit(used).filter(|_| will_run && !force) {
        let text = reached.sentence(&run.run_id);
        let text = format!("{text}, which would pause or end it at once; set force to do so");
        return Err(Error::conflict(text));
    }
    if run.limits != limits {
        change.add_value(RUN_LIMITS, &run.run_id, json!(run.limits), json!(limits));
        let text = format!("The limits of run {} were changed", run.run_id);
        let event = change.event_in(Some(run), kind::SETTINGS_CHANGED, text);
        change.add_event(event.with("limits", json!(limits)));
    }
    match (run.is_open(), goes_on) {
        (true, true) => change.unpause(run, &limited),
        (true, false) => {
            change.put_run(run, limited);
        }
        (false, _) => change.reopen(&limited, false)?,
    }
    Ok(())
}

/// Pauses or ends `run` if it has reached one of its limits.
pub(super) fn reached(
    change: &mut ChangeBuilder<'_>,
    run: &RunRecord,
    used: &RunUse,
    context: &Context<'_>,
) {
    let Some(reached) = run.reached_limit(used).filter(|_| run.gate() == RunGate::Open) else {
        return;
    };
    let limit_reached = Some(reached.name.to_owned());
    let (after, what) = match run.limits.map(|limits| limits.at_limit).unwrap_or_default() {
        AtLimit::Pause => (RunRecord { limit_reached, ..run.with_paused(true) }, "paused"),
        AtLimit::Stop => {
            let reason = format!("{}_reached", reached.name);
            let ended = run.ended(context.now, EndedBy::Guardrail, &reason);
            (RunRecord { limit_reached, ..ended }, "ended")
        }
    };
    change.put_run(run, after);
    let text = format!("The run was {what}: {}", reached.sentence(&run.run_id));
    let event = change.event_in(Some(run), kind::RUN_LIMIT_REACHED, text);
    let event = event.with("limit", reached.name).with("value", reached.limit);
    change.add_event(event.with("used", reached.used).with("at_limit", what));
}
