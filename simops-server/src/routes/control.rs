//! The run controls.

use axum::extract::State;
use simops::ops::{
    Degraded, Paused, ReasonBody, ResetWorldResponse, RunModeChanged, SetRunMode, StartRun,
    StartedRun, StopRun, StoppedRun,
};

use crate::answer::{Answer, Json};
use crate::app::App;
use crate::body::Write;

/// Holds the run still.
#[utoipa::path(post, path = "/api/admin/control/pause", tag = "control",
    request_body = ReasonBody, responses((status = OK, body = Paused)))]
pub(crate) async fn pause(State(app): State<App>, write: Write<ReasonBody>) -> Answer<Paused> {
    Ok(Json(app.ops.pause(&write.caller, &write.body).await?))
}

/// Goes on after a pause, or after a guardrail's stop.
#[utoipa::path(post, path = "/api/admin/control/resume", tag = "control",
    request_body = ReasonBody, responses((status = OK, body = Paused)))]
pub(crate) async fn resume(State(app): State<App>, write: Write<ReasonBody>) -> Answer<Paused> {
    Ok(Json(app.ops.resume(&write.caller, &write.body).await?))
}

/// Sends calls to the cheapest route.
#[utoipa::path(post, path = "/api/admin/control/degrade", tag = "control",
    request_body = ReasonBody, responses((status = OK, body = Degraded)))]
pub(crate) async fn degrade(State(app): State<App>, write: Write<ReasonBody>) -> Answer<Degraded> {
    Ok(Json(app.ops.degrade(&write.caller, &write.body, true).await?))
}

/// Sends calls to their usual routes again.
#[utoipa::path(post, path = "/api/admin/control/degrade/clear", tag = "control",
    request_body = ReasonBody, responses((status = OK, body = Degraded)))]
pub(crate) async fn clear(State(app): State<App>, write: Write<ReasonBody>) -> Answer<Degraded> {
    Ok(Json(app.ops.degrade(&write.caller, &write.body, false).await?))
}

/// Changes the mode that is shown while no run is open.
#[utoipa::path(post, path = "/api/admin/control/run-mode", tag = "control",
    request_body = SetRunMode, responses((status = OK, body = RunModeChanged)))]
pub(crate) async fn run_mode(
    State(app): State<App>,
    write: Write<SetRunMode>,
) -> Answer<RunModeChanged> {
    Ok(Json(app.ops.set_run_mode(&write.caller, &write.body).await?))
}

/// Starts a run, in a new world if asked to.
#[utoipa::path(post, path = "/api/admin/control/run/start", tag = "control",
    request_body = StartRun, responses((status = OK, body = StartedRun)))]
pub(crate) async fn start(State(app): State<App>, write: Write<StartRun>) -> Answer<StartedRun> {
    Ok(Json(app.ops.start_run(&write.caller, &write.body).await?))
}

/// Ends the current run and pauses.
#[utoipa::path(post, path = "/api/admin/control/run/stop", tag = "control",
    request_body = StopRun, responses((status = OK, body = StoppedRun)))]
pub(crate) async fn stop(State(app): State<App>, write: Write<StopRun>) -> Answer<StoppedRun> {
    Ok(Json(app.ops.stop_run(&write.caller, &write.body).await?))
}

/// Builds a new world and shows it; an open run ends. Never in production.
#[utoipa::path(post, path = "/api/admin/control/run/reset-dev", tag = "control",
    request_body = ReasonBody, responses((status = OK, body = ResetWorldResponse)))]
pub(crate) async fn reset(
    State(app): State<App>,
    write: Write<ReasonBody>,
) -> Answer<ResetWorldResponse> {
    Ok(Json(app.ops.reset_world(&write.caller, &write.body).await?))
}
