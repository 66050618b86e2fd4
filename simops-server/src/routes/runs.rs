//! The run registry and the metrics of runs.

use axum::extract::State;
use simops::ops::{RunMetrics, RunsResponse};
use simops::run::RunRecord;

use crate::access::Actor;
use crate::path::PathParam;
use crate::query::Query;
use crate::response::{Json, JsonResult};
use crate::state::App;

/// Metrics of a run, by default the current one.
#[utoipa::path(get, path = "/api/admin/run/metrics", tag = "records",
    params(
        ("run_id" = Option<String>, Query, description = "A run; the current one by default."),
        ("hours_fallback" = Option<i64>, Query,
            description = "1 to 336, 24 by default: the hours to count while there is no run."),
    ),
    responses((status = OK, body = RunMetrics)))]
pub(crate) async fn metrics(
    State(app): State<App>,
    _: Actor,
    query: Query,
) -> JsonResult<RunMetrics> {
    let hours = query.int("hours_fallback", 24)?;
    Ok(Json(app.ops.run_metrics(query.text("run_id"), hours).await?))
}

/// The run registry, newest start first.
#[utoipa::path(get, path = "/api/admin/runs", tag = "records",
    params(
        ("limit" = Option<i64>, Query, description = "1 to 500; 50 by default."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page."),
    ),
    responses((status = OK, body = RunsResponse)))]
pub(crate) async fn list(
    State(app): State<App>,
    _: Actor,
    query: Query,
) -> JsonResult<RunsResponse> {
    Ok(Json(app.ops.runs(query.int("limit", 50)?, query.text("cursor")).await?))
}

/// One run.
#[utoipa::path(get, path = "/api/admin/runs/{run_id}", tag = "records",
    params(("run_id" = String, Path, description = "The run's id.")),
    responses((status = OK, body = RunRecord)))]
pub(crate) async fn one(
    State(app): State<App>,
    _: Actor,
    PathParam(run_id): PathParam,
) -> JsonResult<RunRecord> {
    Ok(Json(app.ops.run(&run_id).await?))
}
