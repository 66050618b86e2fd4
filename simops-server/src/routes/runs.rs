//! The run registry, and what runs have done.

use axum::extract::{RawPathParams, State};
use simops::ops::{RunMetrics, RunsResponse};
use simops::run::RunRecord;

use crate::access::Actor;
use crate::answer::{Answer, Json};
use crate::app::App;
use crate::problem::Problem;
use crate::query::Query;

/// What a run has done: the current one, or the one asked for.
#[utoipa::path(get, path = "/api/admin/run/metrics", tag = "records",
    params(
        ("run_id" = Option<String>, Query, description = "A run; the current one when absent."),
        ("hours_fallback" = Option<i64>, Query,
            description = "1 to 336 (24 when absent): the hours counted while there is no run."),
    ),
    responses((status = OK, body = RunMetrics)))]
pub(crate) async fn metrics(State(app): State<App>, _: Actor, query: Query) -> Answer<RunMetrics> {
    let hours = query.int("hours_fallback", 24)?;
    Ok(Json(app.ops.run_metrics(query.text("run_id"), hours).await?))
}

/// The registry, newest start first.
#[utoipa::path(get, path = "/api/admin/runs", tag = "records",
    params(
        ("limit" = Option<i64>, Query, description = "1 to 500; 50 when absent."),
        ("cursor" = Option<String>, Query, description = "A next_cursor of an earlier answer."),
    ),
    responses((status = OK, body = RunsResponse)))]
pub(crate) async fn list(State(app): State<App>, _: Actor, query: Query) -> Answer<RunsResponse> {
    Ok(Json(app.ops.runs(query.int("limit", 50)?, query.text("cursor")).await?))
}

/// One run.
#[utoipa::path(get, path = "/api/admin/runs/{run_id}", tag = "records",
    params(("run_id" = String, Path, description = "The run's name.")),
    responses((status = OK, body = RunRecord)))]
pub(crate) async fn one(
    State(app): State<App>,
    _: Actor,
    path: Result<RawPathParams, axum::extract::rejection::RawPathParamsRejection>,
) -> Answer<RunRecord> {
    let run_id = crate::routes::named(path.as_ref().ok()).ok_or_else(Problem::no_such_path)?;
    Ok(Json(app.ops.run(run_id).await?))
}
