//! The run controls.

use simops::ops::{
    ControlledRuns, Degraded, PatchLimits, PatchedLimits, Paused, ReasonBody, ResetWorldResponse,
    RunBody, RunModeChanged, SetRunMode, StartRun, StartedRun, StopRun, StoppedRun,
};

use crate::request::WriteRequest;
use crate::response::{Json, JsonResult};

/// Pauses a run, by default the current one.
#[utoipa::path(post, path = "/api/admin/control/pause", tag = "control",
    request_body = RunBody, responses((status = OK, body = Paused)))]
pub(super) async fn pause(write: WriteRequest<RunBody>) -> JsonResult<Paused> {
    Ok(Json(write.writer().await?.pause(&write.body).await?))
}

/// Pauses every open run, in one commit.
#[utoipa::path(post, path = "/api/admin/control/pause-all", tag = "control",
    request_body = ReasonBody, responses((status = OK, body = ControlledRuns)))]
pub(super) async fn pause_all(write: WriteRequest<ReasonBody>) -> JsonResult<ControlledRuns> {
    Ok(Json(write.writer().await?.pause_all(&write.body).await?))
}

/// Resumes a paused run, or one that a guardrail stopped; by default the current one.
#[utoipa::path(post, path = "/api/admin/control/resume", tag = "control",
    request_body = RunBody, responses((status = OK, body = Paused)))]
pub(super) async fn resume(write: WriteRequest<RunBody>) -> JsonResult<Paused> {
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

/// Ends a run, by default the current one; the current one is paused even if it is not open.
#[utoipa::path(post, path = "/api/admin/control/run/stop", tag = "control",
    request_body = StopRun, responses((status = OK, body = StoppedRun)))]
pub(super) async fn stop(write: WriteRequest<StopRun>) -> JsonResult<StoppedRun> {
    Ok(Json(write.writer().await?.stop_run(&write.body).await?))
}

/// Changes the limits of an open run; with `resume` it goes on in the same step.
#[utoipa::path(patch, path = "/api/admin/control/run/limits", tag = "control",
    request_body = PatchLimits, responses((status = OK, body = PatchedLimits)))]
pub(super) async fn limits(write: WriteRequest<PatchLimits>) -> JsonResult<PatchedLimits> {
    Ok(Json(write.writer().await?.patch_limits(&write.body).await?))
}

/// Ends every open run, in one commit.
#[utoipa::path(post, path = "/api/admin/control/stop-all", tag = "control",
    request_body = ReasonBody, responses((status = OK, body = ControlledRuns)))]
pub(super) async fn stop_all(write: WriteRequest<ReasonBody>) -> JsonResult<ControlledRuns> {
    Ok(Json(write.writer().await?.stop_all(&write.body).await?))
}

/// Replaces the world of a run, by default of the current one, and ends its open run. Refused in
/// production.
#[utoipa::path(post, path = "/api/admin/control/run/reset-dev", tag = "control",
    request_body = RunBody, responses((status = OK, body = ResetWorldResponse)))]
pub(super) async fn reset(write: WriteRequest<RunBody>) -> JsonResult<ResetWorldResponse> {
    Ok(Json(write.writer().await?.reset_world(&write.body).await?))
}
