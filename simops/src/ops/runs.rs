//! The run controls.

use serde::{Deserialize, Serialize};

use super::{ResetResult, Writer};
use crate::control::{Command, ControlState, Write};
use crate::execute::Intent;
use crate::run::rules::StartRun;
use crate::run::{RunMode, RunRecord};
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

/// `POST control/run/stop`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[serde(default)]
pub struct StopRun {
    /// Clear the current run afterwards.
    #[cfg_attr(feature = "clap", arg(long, num_args = 0, default_missing_value = "true"))]
    pub clear_run_id: Option<bool>,
    /// The reason, for the audit trail.
    #[cfg_attr(feature = "clap", arg(long, value_name = "TEXT"))]
    pub reason: Option<String>,
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
    /// True.
    pub simulation_active: bool,
    /// False.
    pub simulation_paused: bool,
    /// Whether a new world was built.
    pub reset_world: bool,
    /// The host's description of the new world.
    pub reset_result: Option<ResetResult>,
}

/// Response of a stop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StoppedRun {
    /// Always true.
    pub ok: bool,
    /// True.
    pub simulation_paused: bool,
    /// The current run; empty when it was cleared.
    pub run_id: String,
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
        if let Some(first) = executor.replay(&permit).await? {
            return first;
        }
        let build = async {
            if !plan.reset_world {
                return Ok(None);
            }
            executor.rehearse(&permit, &Intent::Start(plan.clone(), None)).await?;
            self.ops.build_world().await.map(Some)
        };
        let built = match build.await {
            Ok(built) => built,
            Err(refusal) => return executor.respond(&permit, Err(refusal)).await,
        };
        let epoch = built.as_ref().map(|built| built.epoch);
        let intent = Intent::Start(plan, epoch);
        executor
            .execute(&permit, &intent, |_, change| {
                let after = &change.next;
                let run = after.run.as_ref();
                StartedRun {
                    ok: true,
                    mode: run.map_or(RunMode::Test, |run| run.mode),
                    run_id: current_run_id(after),
                    condition_name: run.and_then(|run| run.condition_name.clone()),
                    season_number: run.and_then(|run| run.season_number),
                    simulation_active: run.is_some_and(RunRecord::is_open),
                    simulation_paused: self.is_paused(after),
                    reset_world: built.is_some(),
                    reset_result: built.clone(),
                }
            })
            .await
    }

    /// Ends the current run and pauses. Without an open run it only pauses.
    ///
    /// # Errors
    /// Returns `Forbidden` when the gate is closed, `Invalid` for the reason, and an error when the
    /// database cannot be written.
    pub async fn stop_run(&self, request: &StopRun) -> Result<StoppedRun> {
        let clear_run_id = request.clear_run_id.unwrap_or_default();
        let command = Command::Stop { clear_run_id };
        self.control(Write::StopRun, request.reason.as_deref(), command, |after| StoppedRun {
            ok: true,
            simulation_paused: self.is_paused(after),
            run_id: current_run_id(after),
        })
        .await
    }

    /// Pauses the run.
    ///
    /// # Errors
    /// As [`Writer::stop_run`].
    pub async fn pause(&self, body: &ReasonBody) -> Result<Paused> {
        self.control(Write::Pause, body.reason.as_deref(), Command::Pause, |after| {
            self.paused(after)
        })
        .await
    }

    /// Resumes a paused run, or one that a guardrail stopped.
    ///
    /// # Errors
    /// As [`Writer::stop_run`]; `Conflict` when there is no run to resume.
    pub async fn resume(&self, body: &ReasonBody) -> Result<Paused> {
        self.permit(Write::Resume)?;
        self.ops.report_end_before_resume().await;
        self.control(Write::Resume, body.reason.as_deref(), Command::Resume, |after| {
            self.paused(after)
        })
        .await
    }

    /// Sends model calls to the cheapest route, or to their usual routes again.
    ///
    /// # Errors
    /// As [`Writer::stop_run`].
    pub async fn degrade(&self, body: &ReasonBody, on: bool) -> Result<Degraded> {
        let registry = &self.ops.options.registry;
        let write = if on { Write::Degrade } else { Write::ClearDegrade };
        self.control(write, body.reason.as_deref(), Command::Degrade(on), |after| Degraded {
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
        self.control(Write::SetRunMode, request.reason.as_deref(), command, |after| {
            let run_mode = after.effective(registry).text(key::RUN_MODE).to_owned();
            RunModeChanged { ok: true, run_mode }
        })
        .await
    }

    /// Builds a new world and switches to it; an open run ends.
    ///
    /// # Errors
    /// Returns `Forbidden` when the gate is closed and in production, `Conflict` without a live host
    /// that owns a world, and `Unavailable` when the host does not build it in time. In each case
    /// nothing changed.
    pub async fn reset_world(&self, body: &ReasonBody) -> Result<ResetWorldResponse> {
        let permit = self.permit_for(Write::ResetWorld, body.reason.as_deref())?;
        let executor = &self.ops.executor;
        if let Some(first) = executor.replay(&permit).await? {
            return first;
        }
        let built = match self.ops.build_world().await {
            Ok(built) => built,
            Err(refusal) => return executor.respond(&permit, Err(refusal)).await,
        };
        let intent = Intent::Command(Command::ResetWorld { epoch: built.epoch });
        executor
            .execute(&permit, &intent, |_, change| ResetWorldResponse {
                ok: true,
                simulation_paused: self.is_paused(&change.next),
                reset_result: built.clone(),
            })
            .await
    }

    async fn control<A>(
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

    fn paused(&self, state: &ControlState) -> Paused {
        Paused { ok: true, simulation_paused: self.is_paused(state) }
    }

    fn is_paused(&self, state: &ControlState) -> bool {
        state.effective(&self.ops.options.registry).flag(key::PAUSED)
    }
}

fn current_run_id(state: &ControlState) -> String {
    state.run.as_ref().map(|run| run.run_id.clone()).unwrap_or_default()
}
