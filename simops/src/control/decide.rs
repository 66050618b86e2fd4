//! The run rules: a pure function from state, command and time to a change or a rejection.

use serde_json::{Map, Value};

use super::change::{Change, ChangeBuilder, Context, PRODUCTION_MARK};
use super::{ControlState, WritePolicy};
use crate::event::kind;
use crate::run::rules::RunPlan;
use crate::run::{EndedBy, RunMode, RunRecord};
use crate::settings::{Overrides, key};
use crate::{Error, Result};

/// A command of a person, a script or simops itself.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Command {
    /// Start a run.
    Start(Box<Start>),
    /// End the current run, if one is open, and pause.
    Stop {
        /// Clear the current run afterwards.
        clear_run_id: bool,
    },
    /// Pause the run.
    Pause,
    /// Resume a paused run, or one that a guardrail stopped.
    Resume,
    /// Send model calls to the cheapest route, or to their usual routes again.
    Degrade(bool),
    /// Change the mode shown while no run is open.
    SetMode(RunMode),
    /// Change settings, each checked already.
    Patch(Overrides),
    /// Switch to a world that was just built; an open run ends.
    ResetWorld {
        /// The new epoch.
        epoch: i64,
    },
    /// Switch to the first world, if no world is current.
    AdoptWorld {
        /// The new epoch.
        epoch: i64,
    },
    /// Mark the database as production.
    MarkProduction,
    /// Remove the production mark.
    UnmarkProduction,
    /// End the run because a stop condition tripped.
    GuardrailStop {
        /// The run it was decided on; another run is left alone.
        run_id: String,
        /// The condition.
        reason: String,
        /// The figures it was decided on.
        details: Map<String, Value>,
    },
}

/// A start with the facts that only the store knows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Start {
    /// The checked request.
    pub plan: RunPlan,
    /// The name of the run: the requested one, or a free one.
    pub run_id: String,
    /// Whether a run of that name exists.
    pub taken: bool,
    /// Those of the parent and the mirror run that do not exist.
    pub missing_runs: Vec<String>,
    /// The world built for it, when the start includes a reset.
    pub new_epoch: Option<i64>,
}

/// The change that `command` makes to `state`; empty when the state already is as requested.
///
/// Pause, stop and degrade are never rejected, whatever the state.
///
/// # Errors
/// Returns `Conflict` naming the run or control in the way, `Rejected` when a run that the request
/// names does not exist, and `Forbidden` for a reset in production.
pub(crate) fn decide(
    state: &ControlState,
    command: &Command,
    context: &Context<'_>,
) -> Result<Change> {
    let mut change = ChangeBuilder::new(state, context);
    match command {
        Command::Start(start) => begin(&mut change, state, start, context)?,
        Command::Stop { clear_run_id } => stop(&mut change, state, *clear_run_id, context),
        Command::Pause => pause(&mut change, state),
        Command::Resume => resume(&mut change, state)?,
        Command::Degrade(on) => {
            change.set(key::FORCE_CHEAPEST_ROUTE, *on);
            let text = match on {
                true => "Model calls use the cheapest route",
                false => "Model calls use their usual routes again",
            };
            change.record_with(kind::SETTINGS_CHANGED, text, key::FORCE_CHEAPEST_ROUTE, *on);
        }
        Command::SetMode(mode) => set_mode(&mut change, state, *mode)?,
        Command::Patch(updates) => super::patch::patch(&mut change, state, updates, context)?,
        Command::ResetWorld { epoch } => reset(&mut change, state, *epoch, context)?,
        Command::MarkProduction => mark_production(&mut change, true),
        Command::UnmarkProduction => mark_production(&mut change, false),
        Command::AdoptWorld { epoch } => {
            if state.world_epoch.is_none() {
                change.next.world_epoch = Some(*epoch);
                change.record_with(kind::WORLD_RESET, "The first world was built", "epoch", *epoch);
            }
        }
        Command::GuardrailStop { run_id, reason, details } => {
            guardrail_stop(&mut change, state, (run_id, reason), details, context);
        }
    }
    Ok(change.finish())
}

/// A mark that was set after the caller was let in is seen here: the commit names this state.
fn check_reset(state: &ControlState, context: &Context<'_>) -> Result<()> {
    WritePolicy::from(context.environment).on(state.production_mark).check_reset()
}

fn mark_production(change: &mut ChangeBuilder<'_>, marked: bool) {
    change.next.production_mark = marked;
    let text = match marked {
        true => "The database was marked as production",
        false => "The production mark of the database was removed",
    };
    change.record_with(kind::SETTINGS_CHANGED, text, PRODUCTION_MARK, marked);
}

fn begin(
    change: &mut ChangeBuilder<'_>,
    state: &ControlState,
    start: &Start,
    context: &Context<'_>,
) -> Result<()> {
    if start.plan.reset_world {
        check_reset(state, context)?;
    }
    if let Some(open) = state.open_run() {
        return Err(Error::conflict(format!(
            "run {} has not ended; stop it before starting another",
            open.run_id
        )));
    }
    if start.taken {
        return Err(Error::conflict(format!(
            "run {} exists already; a record is never overwritten, choose another run_id",
            start.run_id
        )));
    }
    let plan = &start.plan.run;
    for (what, named) in [("parent", &plan.parent_run_id), ("mirror", &plan.mirror_control_run_id)]
    {
        if let Some(run_id) = named.as_ref().filter(|run_id| start.missing_runs.contains(run_id)) {
            return Err(Error::rejected(format!("{what} run {run_id} does not exist")));
        }
    }
    change.detach_run();
    // What the request leaves open is the deployment's default, never the previous run's value.
    let settings = change.next.effective(context.registry);
    let condition = Some(settings.text(key::CONDITION_NAME)).filter(|name| !name.is_empty());
    let season = Some(settings.int(key::SEASON_NUMBER)).filter(|number| *number > 0);

    if let Some(epoch) = start.new_epoch {
        change.next.world_epoch = Some(epoch);
    }
    let plan = plan.clone();
    let run = RunRecord {
        run_id: start.run_id.clone(),
        condition_name: plan.condition_name.or_else(|| condition.map(str::to_owned)),
        season_number: plan.season_number.or(season),
        world_epoch: change.next.world_epoch,
        started_at: context.now,
        started_by: context.actor.to_owned(),
        start_reason: context.reason.map(str::to_owned),
        ..plan
    };
    change.set(key::RUN_MODE, run.mode.as_str());
    change.set(key::RUN_ID, run.run_id.as_str());
    change.set(key::CONDITION_NAME, run.condition_name.as_deref().unwrap_or(""));
    change.set(key::SEASON_NUMBER, run.season_number.unwrap_or_default());
    change.set(key::ACTIVE, true);
    change.set(key::PAUSED, false);
    let text = format!("Run {} started in mode {}", run.run_id, run.mode.as_str());
    let row = serde_json::to_value(&run).unwrap_or_default();
    change.put_run(run);
    if let Some(epoch) = start.new_epoch {
        let text = "A new world was built for the run";
        change.record_with(kind::WORLD_RESET, text, "epoch", epoch);
    }
    change.record_with(kind::RUN_STARTED, text, "run", row);
    Ok(())
}

fn stop(change: &mut ChangeBuilder<'_>, state: &ControlState, clear: bool, context: &Context<'_>) {
    change.set(key::ACTIVE, false);
    change.set(key::PAUSED, true);
    if let Some(run) = state.open_run() {
        let reason = context.reason.unwrap_or("stopped by operator");
        change.put_run(run.ended(context.now, EndedBy::Operator, reason));
        let text = format!("Run {} was stopped: {reason}", run.run_id);
        change.record(kind::RUN_STOPPED, text);
    } else {
        change.record(kind::SETTINGS_CHANGED, "Paused; no run was open");
    }
    if clear {
        change.detach_run();
    }
}

pub(super) fn pause(change: &mut ChangeBuilder<'_>, state: &ControlState) {
    change.set(key::PAUSED, true);
    let text = match state.open_run() {
        Some(run) => format!("Run {} was paused", run.run_id),
        None => "Paused; no run is open".to_owned(),
    };
    change.record(kind::RUN_PAUSED, text);
}

pub(super) fn resume(change: &mut ChangeBuilder<'_>, state: &ControlState) -> Result<()> {
    let Some(run) = &state.run else {
        return Err(Error::conflict("there is no run to resume; start one with control/run/start"));
    };
    if !run.is_open() && !run.is_resumable() {
        return Err(Error::conflict(format!(
            "run {} has ended and cannot be resumed; start another with control/run/start",
            run.run_id
        )));
    }
    change.set(key::PAUSED, false);
    if run.is_open() {
        change.record(kind::RUN_RESUMED, format!("Run {} was resumed", run.run_id));
    } else {
        change.reopen(state);
    }
    Ok(())
}

fn set_mode(change: &mut ChangeBuilder<'_>, state: &ControlState, mode: RunMode) -> Result<()> {
    if let Some(run) = state.run.as_ref().filter(|run| run.mode != mode) {
        if run.is_open() {
            return Err(Error::conflict(format!(
                "run {} has mode {} and has not ended; stop it first",
                run.run_id,
                run.mode.as_str()
            )));
        }
        change.detach_run();
    }
    change.set(key::RUN_MODE, mode.as_str());
    let text = format!("Run mode is {}", mode.as_str());
    change.record_with(kind::SETTINGS_CHANGED, text, key::RUN_MODE, mode.as_str());
    Ok(())
}

fn reset(
    change: &mut ChangeBuilder<'_>,
    state: &ControlState,
    epoch: i64,
    context: &Context<'_>,
) -> Result<()> {
    check_reset(state, context)?;
    change.set(key::ACTIVE, false);
    change.set(key::PAUSED, true);
    if let Some(run) = state.open_run() {
        let reason = context.reason.unwrap_or("the world was reset");
        change.put_run(run.ended(context.now, EndedBy::WorldReset, reason));
        change.record(kind::RUN_STOPPED, format!("Run {} ended: {reason}", run.run_id));
    }
    change.next.world_epoch = Some(epoch);
    change.record_with(kind::WORLD_RESET, "The world was reset", "epoch", epoch);
    Ok(())
}

fn guardrail_stop(
    change: &mut ChangeBuilder<'_>,
    state: &ControlState,
    (run_id, reason): (&str, &str),
    details: &Map<String, Value>,
    context: &Context<'_>,
) {
    // However many workers see it, only the first finds the run open.
    let Some(run) = state.open_run().filter(|run| run.run_id == run_id) else { return };
    change.set(key::ACTIVE, false);
    change.set(key::PAUSED, true);
    change.put_run(run.ended(context.now, EndedBy::Guardrail, reason));
    let text = format!("Run {} was stopped by a guardrail: {reason}", run.run_id);
    let event = change.event(kind::STOPPED_BY_GUARDRAIL, text).with("reason", reason);
    change.add_event(event.with("details", details.clone()));
}
