//! The run controls.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ResetResult, Writer};
use crate::control::decide::NO_WORLD;
use crate::control::limits::LimitChange;
use crate::control::{Change, Command, ControlState, Write};
use crate::execute::{Intent, RunControl};
use crate::run::rules::StartRun;
use crate::run::{RunGate, RunLimits, RunMode, RunRecord};
use crate::settings::key;
use crate::{Error, Result};

/// A body that holds only a reason.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[serde(default)]
pub struct ReasonBody {
    /// The reason, for the audit trail.
    #[cfg_attr(feature = "clap", arg(long, value_name = "TEXT"))]
    pub reason: Option<String>,
}

/// A body that names a run, and a reason.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[serde(default)]
pub struct RunBody {
    /// The run; default the current one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "clap", arg(long, value_name = "ID"))]
    pub run_id: Option<String>,
    /// The reason, for the audit trail.
    #[cfg_attr(feature = "clap", arg(long, value_name = "TEXT"))]
    pub reason: Option<String>,
}

/// `POST control/run/stop`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[serde(default)]
pub struct StopRun {
    /// The run; default the current one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "clap", arg(long, value_name = "ID"))]
    pub run_id: Option<String>,
    /// Clear the current run afterwards, if it is the one.
    #[cfg_attr(feature = "clap", arg(long, num_args = 0, default_missing_value = "true"))]
    pub clear_run_id: Option<bool>,
    /// The reason, for the audit trail.
    #[cfg_attr(feature = "clap", arg(long, value_name = "TEXT"))]
    pub reason: Option<String>,
}

/// `PATCH control/run/limits`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct PatchLimits {
    /// The run; default the current one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// The limits to change; null removes one.
    #[cfg_attr(feature = "openapi", schema(value_type = RunLimits))]
    pub limits: Map<String, Value>,
    /// Whether a run that is paused, or that a limit ended, goes on.
    pub resume: bool,
    /// Whether to set a limit that the run has reached already, which pauses or ends it at once.
    pub force: bool,
    /// The reason, for the audit trail.
    pub reason: Option<String>,
}

/// Response of a change of limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PatchedLimits {
    /// Always true.
    pub ok: bool,
    /// The run.
    pub run_id: String,
    /// Its limits now; null without any.
    pub limits: Option<RunLimits>,
    /// Whether it is paused, or has ended.
    pub simulation_paused: bool,
}

/// `POST control/run-mode`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct SetRunMode {
    /// `test` or `real`; required.
    #[cfg_attr(feature = "openapi", schema(required = true, nullable = false))]
    pub mode: Option<String>,
    /// The reason, for the audit trail.
    pub reason: Option<String>,
}

/// Response of pause and resume.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Paused {
    /// Always true.
    pub ok: bool,
    /// Whether the run is paused.
    pub simulation_paused: bool,
    /// The other open runs that are not paused, if no run was named and the current one is not open:
    /// they go on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others_running: Vec<String>,
}

/// What became of a run by a control of all open runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ControlledRun {
    /// The run.
    pub run_id: String,
    /// Whether it was changed: false if it was paused before.
    pub changed: bool,
    /// Whether it is open.
    pub simulation_active: bool,
    /// Whether it is paused, or has ended.
    pub simulation_paused: bool,
}

/// Response of pause-all and stop-all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ControlledRuns {
    /// Always true.
    pub ok: bool,
    /// Every run that was open, the current one first.
    pub runs: Vec<ControlledRun>,
}

/// Response of degrade and its clearing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Degraded {
    /// Always true.
    pub ok: bool,
    /// Whether model calls use the cheapest route.
    pub force_cheapest_route: bool,
}

/// Response of run-mode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunModeChanged {
    /// Always true.
    pub ok: bool,
    /// The mode now.
    pub run_mode: String,
}

/// Response of a start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StartedRun {
    /// Always true.
    pub ok: bool,
    /// Test or real.
    pub mode: RunMode,
    /// The id of the run.
    pub run_id: String,
    /// The experimental condition.
    pub condition_name: Option<String>,
    /// The season.
    pub season_number: Option<i64>,
    /// True; false for a dry run.
    pub simulation_active: bool,
    /// False.
    pub simulation_paused: bool,
    /// Whether a new world was built.
    pub reset_world: bool,
    /// The host's description of the new world.
    pub reset_result: Option<ResetResult>,
}

impl StartedRun {
    /// The response to a start of `run`, in a new world if one was built.
    fn of(run: Option<&RunRecord>, built: Option<ResetResult>) -> Self {
        let run = run.cloned().unwrap_or_default();
        Self {
            ok: true,
            mode: run.mode,
            run_id: run.run_id,
            condition_name: run.condition_name,
            season_number: run.season_number,
            simulation_active: true,
            simulation_paused: false,
            reset_world: built.is_some(),
            reset_result: built,
        }
    }
}

/// Response of a stop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StoppedRun {
    /// Always true.
    pub ok: bool,
    /// True.
    pub simulation_paused: bool,
    /// The run; empty when there was none or it was cleared.
    pub run_id: String,
    /// The other open runs that are not paused, if no run was named: they go on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others_running: Vec<String>,
}

/// Response of a reset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ResetWorldResponse {
    /// Always true.
    pub ok: bool,
    /// True.
    pub simulation_paused: bool,
    /// The host's description of the new world.
    pub reset_result: ResetResult,
}

impl Writer<'_> {
    /// Starts a run, in a new world if the request says so.
    ///
    /// # Errors
    /// Returns `Invalid` or `Rejected` for a request that is not allowed; `Forbidden` when the gate
    /// is closed, and for a reset in production; `Conflict` while another run is open, for a run id
    /// that is taken, and for a reset without a host that owns a world.
    pub async fn start_run(&self, request: &StartRun) -> Result<StartedRun> {
        self.permit(Write::StartRun)?;
        if request.reset_world == Some(true) {
            self.rules().check_reset()?;
        }
        let permit = self.permit_for(Write::StartRun, request.reason.as_deref())?;
        let plan = Box::new(request.plan()?);
        let executor = &self.ops.executor;
        if request.dry_run == Some(true) {
            if plan.reset_world {
                self.ops.wait_for_builder().await?;
            }
            let would = executor.rehearse(&permit, &Intent::Start(plan, None)).await?;
            let started = StartedRun::of(would.runs.first(), None);
            return Ok(StartedRun { simulation_active: false, ..started });
        }
        if let Some(first) = executor.replay(&permit).await? {
            return first;
        }
        let build = async {
            if !plan.reset_world {
                return Ok(None);
            }
            self.ops.wait_for_builder().await?;
            let rehearsed = executor.rehearse(&permit, &Intent::Start(plan.clone(), None)).await?;
            let world = rehearsed.runs.first().and_then(|run| run.world.clone());
            let world = world.ok_or_else(|| Error::conflict(NO_WORLD))?;
            self.ops.build_world(&world).await.map(Some)
        };
        let built = match build.await {
            Ok(built) => built,
            Err(refusal) => return executor.respond(&permit, Err(refusal)).await,
        };
        let epoch = built.as_ref().map(|built| built.epoch);
        let intent = Intent::Start(plan, epoch);
        executor
            .execute(&permit, &intent, |_, change| {
                StartedRun::of(change.runs.first(), built.clone())
            })
            .await
    }

    /// Ends a run, by default the current one; the current one is paused even if it is not open.
    ///
    /// # Errors
    /// Returns `Forbidden` when the gate is closed, `Invalid` for the reason, `NotFound` for a run that
    /// does not exist, and an error when the database cannot be written.
    pub async fn stop_run(&self, request: &StopRun) -> Result<StoppedRun> {
        let control = RunControl::Stop { clear_run_id: request.clear_run_id.unwrap_or_default() };
        let run_id = named(&request.run_id);
        self.control(Write::StopRun, (control, run_id), &request.reason, |after| StoppedRun {
            ok: true,
            simulation_paused: self.is_paused(after, run_id),
            run_id: run_id.map_or_else(|| current_run_id(after), str::to_owned),
            others_running: others_running(after, run_id),
        })
        .await
    }

    /// Pauses a run, by default the current one.
    ///
    /// # Errors
    /// As [`Writer::stop_run`].
    pub async fn pause(&self, body: &RunBody) -> Result<Paused> {
        let run_id = named(&body.run_id);
        self.control(Write::Pause, (RunControl::Pause, run_id), &body.reason, |after| {
            self.paused(after, run_id)
        })
        .await
    }

    /// Resumes a paused run, or one that a guardrail stopped; by default the current one.
    ///
    /// # Errors
    /// As [`Writer::stop_run`]; `Conflict` when there is no run to resume, it has ended otherwise, or
    /// its world has another open run.
    pub async fn resume(&self, body: &RunBody) -> Result<Paused> {
        self.permit(Write::Resume)?;
        let run_id = named(&body.run_id);
        self.ops.report_end_before_resume(run_id).await;
        self.control(Write::Resume, (RunControl::Resume, run_id), &body.reason, |after| {
            self.paused(after, run_id)
        })
        .await
    }

    /// Changes the limits of an open run, by default the current one; with `resume` it goes on in the
    /// same commit.
    ///
    /// # Errors
    /// As [`Writer::stop_run`]; `Invalid` naming a limit that is unknown or out of range; `Conflict` for
    /// a run that has ended, and for a limit that it has reached already, unless `force` is set.
    pub async fn patch_limits(&self, body: &PatchLimits) -> Result<PatchedLimits> {
        // What is wrong whatever the run has is refused before it is looked up.
        RunLimits::default().with(&body.limits)?;
        let limits = body.limits.clone();
        let change = LimitChange { limits, resume: body.resume, force: body.force };
        let run_id = named(&body.run_id);
        if body.resume {
            self.permit(Write::PatchLimits)?;
            self.ops.report_end_before_resume(run_id).await;
        }
        let control = (RunControl::SetLimits(change), run_id);
        self.control(Write::PatchLimits, control, &body.reason, |after| {
            let run = match run_id {
                Some(run_id) => after.known_run(run_id),
                None => after.run.as_ref(),
            };
            PatchedLimits {
                ok: true,
                run_id: run.map(|run| run.run_id.clone()).unwrap_or_default(),
                limits: run.and_then(|run| run.limits),
                simulation_paused: run.is_none_or(|run| run.gate() != RunGate::Open),
            }
        })
        .await
    }

    /// Pauses every open run, in one commit.
    ///
    /// # Errors
    /// As [`Writer::stop_run`].
    pub async fn pause_all(&self, body: &ReasonBody) -> Result<ControlledRuns> {
        self.control_all(Write::PauseAll, Command::PauseAll, body).await
    }

    /// Ends every open run, in one commit.
    ///
    /// # Errors
    /// As [`Writer::stop_run`].
    pub async fn stop_all(&self, body: &ReasonBody) -> Result<ControlledRuns> {
        self.control_all(Write::StopAll, Command::StopAll, body).await
    }

    /// Sends model calls to the cheapest route, or to their usual routes again.
    ///
    /// # Errors
    /// As [`Writer::stop_run`].
    pub async fn degrade(&self, body: &ReasonBody, on: bool) -> Result<Degraded> {
        let registry = &self.ops.options.registry;
        let write = if on { Write::Degrade } else { Write::ClearDegrade };
        self.command(write, body.reason.as_deref(), Command::Degrade(on), |after| Degraded {
            ok: true,
            force_cheapest_route: after.effective(registry).flag(key::FORCE_CHEAPEST_ROUTE),
        })
        .await
    }

    /// Changes the mode shown while no run is open.
    ///
    /// # Errors
    /// As [`Writer::stop_run`]; `Conflict` while a run of the other mode is open.
    pub async fn set_run_mode(&self, request: &SetRunMode) -> Result<RunModeChanged> {
        self.permit(Write::SetRunMode)?;
        let mode = request.mode.as_deref().and_then(RunMode::parse);
        let mode = mode.ok_or_else(|| Error::invalid("mode", "must be one of test, real"))?;
        let registry = &self.ops.options.registry;
        let command = Command::SetMode(mode);
        self.command(Write::SetRunMode, request.reason.as_deref(), command, |after| {
            let run_mode = after.effective(registry).text(key::RUN_MODE).to_owned();
            RunModeChanged { ok: true, run_mode }
        })
        .await
    }

    /// Builds a new world and switches to it; its open run ends. The world is that of the run, by default
    /// of the current one; if that has none, the one that there is.
    ///
    /// # Errors
    /// Returns `Forbidden` when the gate is closed and in production, `NotFound` for a run that does
    /// not exist, `Conflict` without a live host that owns the world, and `Unavailable` when the host
    /// does not build it in time. In each case nothing changed.
    pub async fn reset_world(&self, body: &RunBody) -> Result<ResetWorldResponse> {
        let permit = self.permit_for(Write::ResetWorld, body.reason.as_deref())?;
        let executor = &self.ops.executor;
        if let Some(first) = executor.replay(&permit).await? {
            return first;
        }
        let build = async {
            self.ops.wait_for_builder().await?;
            let world = self.ops.world_to_reset(named(&body.run_id)).await?;
            let built = self.ops.build_world(&world).await?;
            Ok((world, built))
        };
        let (world, built) = match build.await {
            Ok(built) => built,
            Err(refusal) => return executor.respond(&permit, Err(refusal)).await,
        };
        let intent = Intent::Command(Command::ResetWorld { world, epoch: built.epoch });
        executor
            .execute(&permit, &intent, |_, change| ResetWorldResponse {
                ok: true,
                simulation_paused: match change.runs.first() {
                    Some(ended) => ended.paused || !ended.is_open(),
                    None => self.is_paused(&change.next, None),
                },
                reset_result: built.clone(),
            })
            .await
    }

    async fn control<A>(
        &self,
        write: Write,
        (control, run_id): (RunControl, Option<&str>),
        reason: &Option<String>,
        answer: impl Fn(&ControlState) -> A,
    ) -> Result<A>
    where
        A: Serialize + serde::de::DeserializeOwned,
    {
        let permit = self.permit_for(write, reason.as_deref())?;
        let intent = Intent::Control(control, run_id.map(str::to_owned));
        self.ops.executor.execute(&permit, &intent, |_, change| answer(&change.next)).await
    }

    async fn control_all(
        &self,
        write: Write,
        command: Command,
        body: &ReasonBody,
    ) -> Result<ControlledRuns> {
        let permit = self.permit_for(write, body.reason.as_deref())?;
        let of = |before: &ControlState, change: &Change| {
            let runs = before.open_runs().map(|run| {
                let changed = change.runs.iter().find(|changed| changed.run_id == run.run_id);
                let after = changed.unwrap_or(run);
                ControlledRun {
                    run_id: run.run_id.clone(),
                    changed: changed.is_some(),
                    simulation_active: after.is_open(),
                    simulation_paused: after.paused || !after.is_open(),
                }
            });
            ControlledRuns { ok: true, runs: runs.collect() }
        };
        self.ops.executor.execute(&permit, &Intent::Command(command), of).await
    }

    async fn command<A>(
        &self,
        write: Write,
        reason: Option<&str>,
        command: Command,
        answer: impl Fn(&ControlState) -> A,
    ) -> Result<A>
    where
        A: Serialize + serde::de::DeserializeOwned,
    {
        let permit = self.permit_for(write, reason)?;
        let intent = Intent::Command(command);
        self.ops.executor.execute(&permit, &intent, |_, change| answer(&change.next)).await
    }

    fn paused(&self, state: &ControlState, run_id: Option<&str>) -> Paused {
        let simulation_paused = self.is_paused(state, run_id);
        // An operator who means the current run may not know that it has ended.
        let others_running = match simulation_paused && state.open_run().is_none() {
            true => others_running(state, run_id),
            false => Vec::new(),
        };
        Paused { ok: true, simulation_paused, others_running }
    }

    /// Whether the run of that name, or the current one, is paused or has ended.
    fn is_paused(&self, state: &ControlState, run_id: Option<&str>) -> bool {
        match run_id {
            Some(run_id) => state.known_run(run_id).is_none_or(|run| run.gate() != RunGate::Open),
            None => state.effective(&self.ops.options.registry).flag(key::PAUSED),
        }
    }
}

/// The runs that go on although a request that names no run paused or ended the current one.
fn others_running(state: &ControlState, run_id: Option<&str>) -> Vec<String> {
    let others = state.other_runs.iter().filter(|run| run_id.is_none() && !run.paused);
    others.map(|run| run.run_id.clone()).collect()
}

/// The run that a request names.
fn named(run_id: &Option<String>) -> Option<&str> {
    run_id.as_deref().map(str::trim).filter(|run_id| !run_id.is_empty())
}

fn current_run_id(state: &ControlState) -> String {
    state.run.as_ref().map(|run| run.run_id.clone()).unwrap_or_default()
}
