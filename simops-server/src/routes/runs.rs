//! The run registry, the metrics of runs, and usage of models.

use simops::ops::{Listing, RunMetrics, UsageSeries};
use simops::run::RunRecord;

use crate::query::{PathParam, Query};
use crate::request::ReadOps;
use crate::response::{Json, JsonResult};

/// Metrics of a run, by default the current one.
#[utoipa::path(get, path = "/api/admin/run/metrics", tag = "records",
    params(
        ("run_id" = Option<String>, Query, description = "A run; the current one by default."),
        ("hours_fallback" = Option<i64>, Query,
            description = "1 to 336, 24 by default: the hours to count while there is no run."),
    ),
    responses((status = OK, body = RunMetrics)))]
pub(super) async fn metrics(ops: ReadOps, query: Query) -> JsonResult<RunMetrics> {
    let hours = query.int("hours_fallback", 24)?;
    Ok(Json(ops.run_metrics(query.text("run_id"), hours).await?))
}

/// The run registry, newest start first.
#[utoipa::path(get, path = "/api/admin/runs", tag = "records",
    params(
        ("limit" = Option<i64>, Query, description = "1 to 500; 50 by default."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page."),
    ),
    responses((status = OK, body = Listing<RunRecord>)))]
pub(super) async fn list(ops: ReadOps, query: Query) -> JsonResult<Listing<RunRecord>> {
    Ok(Json(ops.runs(query.int("limit", 50)?, query.text("cursor")).await?))
}

/// One run.
#[utoipa::path(get, path = "/api/admin/runs/{run_id}", tag = "records",
    params(("run_id" = String, Path, description = "The run's id.")),
    responses((status = OK, body = RunRecord)))]
pub(super) async fn one(ops: ReadOps, PathParam(run_id): PathParam) -> JsonResult<RunRecord> {
    Ok(Json(ops.run(&run_id).await?))
}

/// Calls over time per provider, and a forecast of when the day's caps will be reached.
#[utoipa::path(get, path = "/api/admin/usage/series", tag = "records",
    params(
        ("since" = Option<String>, Query,
            description = "A time, a date or a duration before now (`6h`), at most 8 days; 24h by default."),
        ("run_id" = Option<String>, Query, description = "Only of this run."),
    ),
    responses((status = OK, body = UsageSeries)))]
pub(super) async fn series(ops: ReadOps, query: Query) -> JsonResult<UsageSeries> {
    let since = query.text("since").unwrap_or("24h");
    Ok(Json(ops.usage_series(since, query.text("run_id")).await?))
}
