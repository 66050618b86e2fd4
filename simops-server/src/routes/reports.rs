//! Baselines, and reports of runs.

use simops::baseline::BaselineResponse;
use simops::ops::{BaselineOptions, ReportResponse};
use simops::progress::NO_PROGRESS;
use simops::report::RunComparison;

use crate::problem::Problem;
use crate::query::{PathParam, Query};
use crate::request::{ReadOps, WriteRequest};
use crate::response::{Json, JsonResult};

/// The report of a run, written when it ended; before that, a preview (`final` is false). A run
/// that was resumed after a guardrail's stop has one report per end.
#[utoipa::path(get, path = "/api/admin/runs/{run_id}/report", tag = "reports",
    params(
        ("run_id" = String, Path, description = "The run."),
        ("ended_at" = Option<String>, Query,
            description = "One of `reported_ends`; the last end by default."),
    ),
    responses((status = OK, body = ReportResponse)))]
pub(super) async fn report(
    ops: ReadOps,
    PathParam(run_id): PathParam,
    query: Query,
) -> JsonResult<ReportResponse> {
    Ok(Json(ops.report(&run_id, query.time("ended_at")?).await?))
}

/// Compares two runs, also per dollar spent.
#[utoipa::path(get, path = "/api/admin/run/compare", tag = "reports",
    params(
        ("a" = String, Query, description = "The first run."),
        ("b" = String, Query, description = "The second."),
    ),
    responses((status = OK, body = RunComparison)))]
pub(super) async fn compare(ops: ReadOps, query: Query) -> JsonResult<RunComparison> {
    let run = |name| query.text(name).ok_or_else(|| Problem::invalid(name, "is required"));
    Ok(Json(ops.compare_runs(run("a")?, run("b")?).await?))
}

/// Takes a baseline and writes it to the server's output folder.
///
/// It holds the budget, the thresholds, recent provider failures and the metrics of windows that end now.
#[utoipa::path(post, path = "/api/admin/baseline", tag = "reports",
    request_body = BaselineOptions, responses((status = OK, body = BaselineResponse)))]
pub(super) async fn take(write: WriteRequest<BaselineOptions>) -> JsonResult<BaselineResponse> {
    Ok(Json(write.writer().await?.write_baseline(&write.body, NO_PROGRESS).await?))
}
