//! The run controls.

use axum::extract::State;
use simops::ops::{
    Degraded, Paused, ReasonBody, ResetWorldResponse, RunModeChanged, SetRunMode, StartRun,
    StartedRun, StopRun, StoppedRun,
};

use crate::body::WriteRequest;
use crate::response::{Json, JsonResult};
use crate::state::App;

/// Pauses the run.
#[utoipa::path(post, path = "/api/admin/control/pause", tag = "control",
    request_body = ReasonBody, responses((status = OK, body = Paused)))]
pub(crate) async fn pause(
    State(app): State<App>,
    write: WriteRequest<ReasonBody>,
) -> JsonResult<Paused> {
    Ok(Json(app.ops.writer(&write.caller).await?.pause(&write.body).await?))
}

/// Resumes a paused run, or one that a guardrail stopped.
#[utoipa::path(post, path = "/api/admin/control/resume", tag = "control",
    request_body = ReasonBody, responses((status = OK, body = Paused)))]
pub(crate) async fn resume(
    State(app): State<App>,
    write: WriteRequest<ReasonBody>,
) -> JsonResult<Paused> {
    Ok(Json(app.ops.writer(&write.caller).await?.resume(&write.body).await?))
}

/// Routes model calls to the cheapest provider.
#[utoipa::path(post, path = "/api/admin/control/degrade", tag = "control",
    request_body = ReasonBody, responses((status = OK, body = Degraded)))]
pub(crate) async fn degrade(
    State(app): State<App>,
    write: WriteRequest<ReasonBody>,
) -> JsonResult<Degraded> {
    Ok(Json(app.ops.writer(&write.caller).await?.degrade(&write.body, true).await?))
}

/// Routes model calls to their usual providers again.
#[utoipa::path(post, path = "/api/admin/control/degrade/clear", tag = "control",
    request_body = ReasonBody, responses((status = OK, body = Degraded)))]
pub(crate) async fn clear(
    State(app): State<App>,
    write: WriteRequest<ReasonBody>,
) -> JsonResult<Degraded> {
    Ok(Json(app.ops.writer(&write.caller).await?.degrade(&write.body, false).await?))
}

/// Changes the mode that the status shows while no run is open.
#[utoipa::path(post, path = "/api/admin/control/run-mode", tag = "control",
    request_body = SetRunMode, responses((status = OK, body = RunModeChanged)))]
pub(crate) async fn run_mode(
    State(app): State<App>,
    write: WriteRequest<SetRunMode>,
) -> JsonResult<RunModeChanged> {
    Ok(Json(app.ops.writer(&write.caller).await?.set_run_mode(&write.body).await?))
}

/// Starts a run, optionally in a new world.
#[utoipa::path(post, path = "/api/admin/control/run/start", tag = "control",
    request_body = StartRun, responses((status = OK, body = StartedRun)))]
pub(crate) async fn start(
    State(app): State<App>,
    write: WriteRequest<StartRun>,
) -> JsonResult<StartedRun> {
    Ok(Json(app.ops.writer(&write.caller).await?.start_run(&write.body).await?))
}

/// Ends the current run and pauses the simulation.
#[utoipa::path(post, path = "/api/admin/control/run/stop", tag = "control",
    request_body = StopRun, responses((status = OK, body = StoppedRun)))]
pub(crate) async fn stop(
    State(app): State<App>,
    write: WriteRequest<StopRun>,
) -> JsonResult<StoppedRun> {
    Ok(Json(app.ops.writer(&write.caller).await?.stop_run(&write.body).await?))
}

/// Replaces the world with a new one and ends an open run. Refused in production.
#[utoipa::path(post, path = "/api/admin/control/run/reset-dev", tag = "control",
    request_body = ReasonBody, responses((status = OK, body = ResetWorldResponse)))]
pub(crate) async fn reset(
    State(app): State<App>,
    write: WriteRequest<ReasonBody>,
) -> JsonResult<ResetWorldResponse> {
    Ok(Json(app.ops.writer(&write.caller).await?.reset_world(&write.body).await?))
}
