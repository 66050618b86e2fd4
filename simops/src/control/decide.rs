//! The run rules: a pure function from state, command and time to a change or a rejection.

use serde_json::{Map, Value};

use super::change::{Change, ChangeBuilder, Context, PRODUCTION_MARK};
use super::limits::{self, LimitChange};
use super::presence::HostOfRun;
use super::{ControlState, WritePolicy};
use crate::event::kind;
use crate::run::rules::RunPlan;
use crate::run::{EndedBy, RunMode, RunRecord, RunUse};
use crate::settings::{Overrides, key};
use crate::{Error, Result};

/// A command of a person, a script or simops itself.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Command {
    /// Start a run.
    Start(Box<Start>),
    /// End a run, if it is open; pauses if it is the current one.
    Stop {
        /// The run.
        target: Target,
        /// Clear the current run afterwards, if it is the one.
        clear_run_id: bool,
    },
    /// End every open run, and pause.
    StopAll,
    /// Pause a run.
    Pause(Target),
    /// Pause every open run.
    PauseAll,
    /// Resume a paused run, or one that a guardrail stopped.
    Resume {
        /// The run.
        target: Target,
        /// What it has used.
        used: RunUse,
    },
    /// Change the limits of an open run.
    SetLimits {
        /// The run.
        target: Target,
        /// What it has used.
        used: RunUse,
        /// The changes.
        change: LimitChange,
    },
    /// Pause or end a run that has reached one of its limits.
    LimitReached {
        /// The run; nothing happens if it is paused or has ended, or its limits were raised.
        run_id: String,
        /// What it has used.
        used: RunUse,
    },
    /// Send model calls to the cheapest route, or to their usual routes again.
    Degrade(bool),
    /// Change the mode shown while no run is open.
    SetMode(RunMode),
    /// Change settings, each checked already.
    Patch(Overrides),
    /// Switch to an epoch of a world that was just built; the open run of the world ends.
    ResetWorld {
        /// The world.
        world: String,
        /// Its new epoch.
        epoch: i64,
    },
    /// Switch to the first epoch of a world, if it has none.
    AdoptWorld {
        /// The world.
        world: String,
        /// Its first epoch.
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

/// The run that a command means.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Target {
    /// The current run, if there is one.
    Current,
    /// The run of the registry that the command names.
    Named(Box<RunRecord>),
}

impl Target {
    /// The run, as `state` has it.
    pub(crate) fn run<'a>(&'a self, state: &'a ControlState) -> Option<&'a RunRecord> {
        match self {
            Self::Current => state.run.as_ref(),
            Self::Named(run) => Some(state.known_run(&run.run_id).unwrap_or(run)),
        }
    }
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
    /// Its host, and the host's world.
    pub host: HostOfRun,
    /// Those of the parent and the mirror run that do not exist.
    pub missing_runs: Vec<String>,
    /// The world built for it, when the start includes a reset.
    pub new_epoch: Option<i64>,
}

/// Why a world cannot be reset.
pub(crate) const NO_WORLD: &str = "no live host owns a world that could be reset";

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
        Command::Stop { target, clear_run_id } => {
            stop(&mut change, target.run(state), state, context);
            if *clear_run_id && is_current(state, target.run(state)) {
                change.detach_run();
                if !change.has_events() {
                    change.record(kind::SETTINGS_CHANGED, "The current run was cleared");
                }
            }
        }
        Command::StopAll => {
            stop(&mut change, state.run.as_ref(), state, context);
            for run in &state.other_runs {
                stop(&mut change, Some(run), state, context);
            }
        }
        Command::Pause(target) => pause(&mut change, target.run(state), state),
        Command::PauseAll => {
            pause(&mut change, state.run.as_ref(), state);
            for run in &state.other_runs {
                pause(&mut change, Some(run), state);
            }
        }
        Command::Resume { target, used } => resume(&mut change, target.run(state), used)?,
        Command::SetLimits { target, used, change: limits } => {
            limits::set(&mut change, target.run(state), used, limits)?;
        }
        Command::LimitReached { run_id, used } => {
            if let Some(run) = state.known_run(run_id) {
                limits::reached(&mut change, run, used, context);
            }
        }
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
        Command::ResetWorld { world, epoch } => {
            reset(&mut change, state, (world, *epoch), context)?;
        }
        Command::MarkProduction => mark_production(&mut change, true),
        Command::UnmarkProduction => mark_production(&mut change, false),
        Command::AdoptWorld { world, epoch } => {
            if !state.worlds.contains_key(world) {
                change.put_world(world, *epoch);
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
    change.check_world(start.host.world.as_deref())?;
    if start.plan.reset_world && start.host.world.is_none() {
        return Err(Error::conflict(NO_WORLD));
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
    // What the request leaves open is the deployment's default, never the previous run's value.
    let default = |name| context.registry.get(name).map(|spec| &spec.default);
    let condition = default(key::CONDITION_NAME).and_then(Value::as_str);
    let season = default(key::SEASON_NUMBER).and_then(Value::as_i64);
    let condition = condition.filter(|name| !name.is_empty()).map(str::to_owned);

    let HostOfRun { host, world } = start.host.clone();
    if let (Some(world), Some(epoch)) = (&world, start.new_epoch) {
        change.put_world(world, epoch);
    }
    let plan = plan.clone();
    let run = RunRecord {
        run_id: start.run_id.clone(),
        condition_name: plan.condition_name.or(condition),
        season_number: plan.season_number.or(season.filter(|number| *number > 0)),
        world_epoch: world.as_ref().and_then(|world| change.next.worlds.get(world)).copied(),
        host,
        world,
        started_at: context.now,
        started_by: context.actor.to_owned(),
        start_reason: context.reason.map(str::to_owned),
        ..plan
    };
    if let Some(epoch) = start.new_epoch {
        let text = "A new world was built for the run";
        let event = change.event_in(Some(&run), kind::WORLD_RESET, text);
        change.add_event(event.with("epoch", epoch));
    }
    let text = format!("Run {} started in mode {}", run.run_id, run.mode.as_str());
    let event = change.event_in(Some(&run), kind::RUN_STARTED, text);
    change.add_event(event.with("run", serde_json::to_value(&run).unwrap_or_default()));
    change.add_run(run);
    Ok(())
}

/// Whether `run`, or its absence, is what the settings of run state show.
fn is_current(state: &ControlState, run: Option<&RunRecord>) -> bool {
    state.run.as_ref().map(|run| &run.run_id) == run.map(|run| &run.run_id)
}

fn stop(
    change: &mut ChangeBuilder<'_>,
    run: Option<&RunRecord>,
    state: &ControlState,
    context: &Context<'_>,
) {
    if let Some(run) = run.filter(|run| run.is_open()) {
        let reason = context.reason.unwrap_or("stopped by operator");
        change.put_run(run, run.ended(context.now, EndedBy::Operator, reason));
        let text = format!("Run {} was stopped: {reason}", run.run_id);
        change.record_in(run, kind::RUN_STOPPED, text);
    } else if is_current(state, run) && change.set(key::PAUSED, true) {
        change.record(kind::SETTINGS_CHANGED, "Paused; no run was open");
    }
}

fn pause(change: &mut ChangeBuilder<'_>, run: Option<&RunRecord>, state: &ControlState) {
    if let Some(run) = run.filter(|run| run.is_open()) {
        if change.put_run(run, run.with_paused(true)) {
            change.record_in(run, kind::RUN_PAUSED, format!("Run {} was paused", run.run_id));
        }
    } else if is_current(state, run) && change.set(key::PAUSED, true) {
        change.record(kind::RUN_PAUSED, "Paused; no run is open");
    }
}

fn resume(change: &mut ChangeBuilder<'_>, run: Option<&RunRecord>, used: &RunUse) -> Result<()> {
    let Some(run) = run else {
        return Err(Error::conflict("there is no run to resume; start one with control/run/start"));
    };
    let goes_on = (run.is_open() && run.paused) || run.is_resumable();
    if let Some(reached) = run.reached_limit(used).filter(|_| goes_on) {
        let text = reached.sentence(&run.run_id);
        let how = "raise it with control/run/limits and resume (simops-cli run limits --resume)";
        return Err(Error::conflict(format!("{text}; {how}")));
    }
    if run.is_open() {
        change.unpause(run, run);
        return Ok(());
    }
    if !run.is_resumable() {
        return Err(Error::conflict(format!(
            "run {} has ended and cannot be resumed; start another with control/run/start",
            run.run_id
        )));
    }
    change.reopen(run, false)
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
    (world, epoch): (&str, i64),
    context: &Context<'_>,
) -> Result<()> {
    check_reset(state, context)?;
    if state.open_run().is_none() {
        change.set(key::ACTIVE, false);
        change.set(key::PAUSED, true);
    }
    let run = state.run_in_world(world);
    if let Some(run) = run {
        let reason = context.reason.unwrap_or("the world was reset");
        change.put_run(run, run.ended(context.now, EndedBy::WorldReset, reason));
        change.record_in(run, kind::RUN_STOPPED, format!("Run {} ended: {reason}", run.run_id));
    }
    change.put_world(world, epoch);
    let event =
        change.event_in(run.or(state.run.as_ref()), kind::WORLD_RESET, "The world was reset");
    change.add_event(event.with("epoch", epoch));
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
    let Some(run) = state.known_run(run_id).filter(|run| run.is_open()) else { return };
    change.put_run(run, run.ended(context.now, EndedBy::Guardrail, reason));
    let budget = details.get("budget").and_then(Value::as_str);
    let which = budget.map(|budget| format!(" (budget {budget})")).unwrap_or_default();
    let text = format!("Run {} was stopped by a guardrail: {reason}{which}", run.run_id);
    let event = change.event_in(Some(run), kind::STOPPED_BY_GUARDRAIL, text);
    change.add_event(event.with("reason", reason).with("details", details.clone()));
}
