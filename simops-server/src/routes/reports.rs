//! Reports of runs.

use axum::extract::State;
use simops::ops::ReportResponse;
use simops::report::RunComparison;

use crate::access::Actor;
use crate::path::PathParam;
use crate::problem::Problem;
use crate::query::Query;
use crate::response::{Json, JsonResult};
use crate::state::App;

/// The report of a run, written when it ended; before that, a preview (`final` is false). A run
/// that was resumed after a guardrail's stop has one report per end.
#[utoipa::path(get, path = "/api/admin/runs/{run_id}/report", tag = "reports",
    params(
        ("run_id" = String, Path, description = "The run."),
        ("ended_at" = Option<String>, Query,
            description = "One of `reported_ends`; the last end by default."),
    ),
    responses((status = OK, body = ReportResponse)))]
pub(crate) async fn report(
    State(app): State<App>,
    _: Actor,
    PathParam(run_id): PathParam,
    query: Query,
) -> JsonResult<ReportResponse> {
    Ok(Json(app.ops.report(&run_id, query.time("ended_at")?).await?))
}

/// Compares two runs, also per dollar spent.
#[utoipa::path(get, path = "/api/admin/run/compare", tag = "reports",
    params(
        ("a" = String, Query, description = "The first run."),
        ("b" = String, Query, description = "The second."),
    ),
    responses((status = OK, body = RunComparison)))]
pub(crate) async fn compare(
    State(app): State<App>,
    _: Actor,
    query: Query,
) -> JsonResult<RunComparison> {
    let run = |name| query.text(name).ok_or_else(|| Problem::invalid(name, "is required"));
    Ok(Json(app.ops.compare_runs(run("a")?, run("b")?).await?))
}
