//! The run controls.

use serde::{Deserialize, Serialize};

use super::{Caller, Ops, ResetResult};
use crate::control::{Command, ControlState};
use crate::execute::Intent;
use crate::run::rules::{StartRun, check_reason};
use crate::run::{RunMode, RunRecord};
use crate::settings::key;
use crate::{Error, Result};

/// A body with nothing but a reason.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct ReasonBody {
    /// Why.
    pub reason: Option<String>,
}

/// `POST control/run/stop`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct StopRun {
    /// Show no run afterwards.
    pub clear_run_id: Option<bool>,
    /// Why.
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
    /// Why.
    pub reason: Option<String>,
}

/// The answer to pause and resume.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Paused {
    /// Always true.
    pub ok: bool,
    /// Whether turns hold still.
    pub simulation_paused: bool,
}

/// The answer to degrade and its clearing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Degraded {
    /// Always true.
    pub ok: bool,
    /// Whether calls go to the cheapest route.
    pub force_cheapest_route: bool,
}

/// The answer to run-mode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunModeChanged {
    /// Always true.
    pub ok: bool,
    /// The mode now.
    pub run_mode: String,
}

/// The answer to a start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StartedRun {
    /// Always true.
    pub ok: bool,
    /// Test or real.
    pub mode: RunMode,
    /// The run's name.
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
    /// What the host says of the new world.
    pub reset_result: Option<ResetResult>,
}

/// The answer to a stop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StoppedRun {
    /// Always true.
    pub ok: bool,
    /// True.
    pub simulation_paused: bool,
    /// The run shown now; empty when it was cleared.
    pub run_id: String,
}

/// The answer to a reset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ResetWorldResponse {
    /// Always true.
    pub ok: bool,
    /// True.
    pub simulation_paused: bool,
    /// What the host says of the new world.
    pub reset_result: ResetResult,
}

impl Ops {
    /// Starts a run, in a new world if asked to.
    ///
    /// # Errors
    /// `Invalid`, `Rejected` or `Forbidden` for what may not be started; `Conflict` while another
    /// run is open, for a name that is taken, and for a reset without a host that owns a world.
    pub async fn start_run(&self, caller: &Caller, request: &StartRun) -> Result<StartedRun> {
        self.check_writable()?;
        if request.reset_world == Some(true) {
            self.check_reset_allowed()?;
        }
        let caller = with_reason(caller, request.reason.as_deref())?;
        let plan = Box::new(request.plan()?);
        if let Some(first) = self.executor.replay(&caller).await? {
            return first;
        }
        let built = if plan.reset_world {
            let rehearsed =
                self.executor.rehearse(&caller, &Intent::Start(plan.clone(), None)).await;
            let built = match rehearsed {
                Ok(()) => self.build_world().await,
                Err(refusal) => Err(refusal),
            };
            match built {
                Ok(built) => Some(built),
                Err(refusal) => return self.executor.refuse(&caller, refusal).await,
            }
        } else {
            None
        };
        let epoch = built.as_ref().map(|built| built.epoch);
        let intent = Intent::Start(plan, epoch);
        self.executor
            .execute(&caller, &intent, |_, after| {
                let run = after.run.as_ref();
                StartedRun {
                    ok: true,
                    mode: run.map_or(RunMode::Test, |run| run.mode),
                    run_id: shown_run_id(after),
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
    /// Of the store; `Invalid` for the reason.
    pub async fn stop_run(&self, caller: &Caller, request: &StopRun) -> Result<StoppedRun> {
        let clear_run_id = request.clear_run_id.unwrap_or_default();
        self.control(caller, request.reason.as_deref(), Command::Stop { clear_run_id }, |after| {
            StoppedRun {
                ok: true,
                simulation_paused: self.is_paused(after),
                run_id: shown_run_id(after),
            }
        })
        .await
    }

    /// Holds still.
    ///
    /// # Errors
    /// As [`Ops::stop_run`].
    pub async fn pause(&self, caller: &Caller, body: &ReasonBody) -> Result<Paused> {
        self.control(caller, body.reason.as_deref(), Command::Pause, |after| Paused {
            ok: true,
            simulation_paused: self.is_paused(after),
        })
        .await
    }

    /// Goes on after a pause, or after a guardrail's stop.
    ///
    /// # Errors
    /// `Conflict` when there is no run that may go on.
    pub async fn resume(&self, caller: &Caller, body: &ReasonBody) -> Result<Paused> {
        self.check_writable()?;
        self.report_end_before_resume().await;
        self.control(caller, body.reason.as_deref(), Command::Resume, |after| Paused {
            ok: true,
            simulation_paused: self.is_paused(after),
        })
        .await
    }

    /// Sends calls to the cheapest route, or no longer.
    ///
    /// # Errors
    /// As [`Ops::stop_run`].
    pub async fn degrade(&self, caller: &Caller, body: &ReasonBody, on: bool) -> Result<Degraded> {
        let registry = &self.options.registry;
        self.control(caller, body.reason.as_deref(), Command::Degrade(on), |after| Degraded {
            ok: true,
            force_cheapest_route: after.effective(registry).flag(key::FORCE_CHEAPEST_ROUTE),
        })
        .await
    }

    /// Changes the mode that is shown while no run is open.
    ///
    /// # Errors
    /// `Conflict` while a run of the other mode is open.
    pub async fn set_run_mode(
        &self,
        caller: &Caller,
        request: &SetRunMode,
    ) -> Result<RunModeChanged> {
        self.check_writable()?;
        let mode = request.mode.as_deref().and_then(RunMode::parse);
        let mode = mode.ok_or_else(|| Error::invalid("mode", "must be one of test, real"))?;
        let registry = &self.options.registry;
        self.control(caller, request.reason.as_deref(), Command::SetMode(mode), |after| {
            let run_mode = after.effective(registry).text(key::RUN_MODE).to_owned();
            RunModeChanged { ok: true, run_mode }
        })
        .await
    }

    /// Builds a new world and shows it; an open run ends.
    ///
    /// # Errors
    /// `Forbidden` in production, `Conflict` without a live host that owns a world, `Unavailable`
    /// when the host does not build it in time. In each case nothing changed.
    pub async fn reset_world(
        &self,
        caller: &Caller,
        body: &ReasonBody,
    ) -> Result<ResetWorldResponse> {
        self.check_writable()?;
        self.check_reset_allowed()?;
        let caller = with_reason(caller, body.reason.as_deref())?;
        if let Some(first) = self.executor.replay(&caller).await? {
            return first;
        }
        let built = match self.build_world().await {
            Ok(built) => built,
            Err(refusal) => return self.executor.refuse(&caller, refusal).await,
        };
        let intent = Intent::Command(Command::ResetWorld { epoch: built.epoch });
        self.executor
            .execute(&caller, &intent, |_, after| ResetWorldResponse {
                ok: true,
                simulation_paused: self.is_paused(after),
                reset_result: built.clone(),
            })
            .await
    }

    async fn control<A>(
        &self,
        caller: &Caller,
        reason: Option<&str>,
        command: Command,
        answer: impl Fn(&ControlState) -> A,
    ) -> Result<A>
    where
        A: Serialize + serde::de::DeserializeOwned,
    {
        self.check_writable()?;
        let caller = with_reason(caller, reason)?;
        let intent = Intent::Command(command);
        self.executor.execute(&caller, &intent, |_, after| answer(after)).await
    }

    fn is_paused(&self, state: &ControlState) -> bool {
        state.effective(&self.options.registry).flag(key::PAUSED)
    }
}

fn with_reason(caller: &Caller, reason: Option<&str>) -> Result<Caller> {
    Ok(Caller { reason: check_reason(reason)?, ..caller.clone() })
}

fn shown_run_id(state: &ControlState) -> String {
    state.run.as_ref().map(|run| run.run_id.clone()).unwrap_or_default()
}
