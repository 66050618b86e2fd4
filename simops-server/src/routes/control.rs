//! The run controls.

use simops::ops::{
    Degraded, Paused, ReasonBody, ResetWorldResponse, RunModeChanged, SetRunMode, StartRun,
    StartedRun, StopRun, StoppedRun,
};

use crate::request::WriteRequest;
use crate::response::{Json, JsonResult};

/// Pauses the run.
#[utoipa::path(post, path = "/api/admin/control/pause", tag = "control",
    request_body = ReasonBody, responses((status = OK, body = Paused)))]
pub(super) async fn pause(write: WriteRequest<ReasonBody>) -> JsonResult<Paused> {
    Ok(Json(write.writer().await?.pause(&write.body).await?))
}

/// Resumes a paused run, or one that a guardrail stopped.
#[utoipa::path(post, path = "/api/admin/control/resume", tag = "control",
    request_body = ReasonBody, responses((status = OK, body = Paused)))]
pub(super) async fn resume(write: WriteRequest<ReasonBody>) -> JsonResult<Paused> {
    Ok(Json(write.writer().await?.resume(&write.body).await?))
}

/// Routes model calls to the cheapest provider.
#[utoipa::path(post, path = "/api/admin/control/degrade", tag = "control",
    request_body = ReasonBody, responses((status = OK, body = Degraded)))]
pub(super) async fn degrade(write: WriteRequest<ReasonBody>) -> JsonResult<Degraded> {
    Ok(Json(write.writer().await?.degrade(&write.body, true).await?))
}

/// Routes model calls to their usual providers again.
#[utoipa::path(post, path = "/api/admin/control/degrade/clear", tag = "control",
    request_body = ReasonBody, responses((status = OK, body = Degraded)))]
pub(super) async fn clear(write: WriteRequest<ReasonBody>) -> JsonResult<Degraded> {
    Ok(Json(write.writer().await?.degrade(&write.body, false).await?))
}

/// Changes the mode that the status shows while no run is open.
#[utoipa::path(post, path = "/api/admin/control/run-mode", tag = "control",
    request_body = SetRunMode, responses((status = OK, body = RunModeChanged)))]
pub(super) async fn run_mode(write: WriteRequest<SetRunMode>) -> JsonResult<RunModeChanged> {
    Ok(Json(write.writer().await?.set_run_mode(&write.body).await?))
}

/// Starts a run, optionally in a new world.
#[utoipa::path(post, path = "/api/admin/control/run/start", tag = "control",
    request_body = StartRun, responses((status = OK, body = StartedRun)))]
pub(super) async fn start(write: WriteRequest<StartRun>) -> JsonResult<StartedRun> {
    Ok(Json(write.writer().await?.start_run(&write.body).await?))
}

/// Ends the current run and pauses the simulation.
#[utoipa::path(post, path = "/api/admin/control/run/stop", tag = "control",
    request_body = StopRun, responses((status = OK, body = StoppedRun)))]
pub(super) async fn stop(write: WriteRequest<StopRun>) -> JsonResult<StoppedRun> {
    Ok(Json(write.writer().await?.stop_run(&write.body).await?))
}

/// Replaces the world with a new one and ends an open run. Refused in production.
#[utoipa::path(post, path = "/api/admin/control/run/reset-dev", tag = "control",
    request_body = ReasonBody, responses((status = OK, body = ResetWorldResponse)))]
pub(super) async fn reset(write: WriteRequest<ReasonBody>) -> JsonResult<ResetWorldResponse> {
    Ok(Json(write.writer().await?.reset_world(&write.body).await?))
}
