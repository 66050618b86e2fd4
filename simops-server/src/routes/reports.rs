//! Reports of runs.

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, State};
use simops::ops::ReportResponse;
use simops::report::RunComparison;

use super::named;
use crate::access::Actor;
use crate::answer::{Answer, Json};
use crate::app::App;
use crate::problem::Problem;
use crate::query::Query;

/// The report of a run, written when it ended; before, what it would say now (`final` is false). A run
/// that went on after a guardrail's stop has one of each end.
#[utoipa::path(get, path = "/api/admin/runs/{run_id}/report", tag = "reports",
    params(
        ("run_id" = String, Path, description = "The run."),
        ("ended_at" = Option<String>, Query,
            description = "One of reported_ends; the last end when absent."),
    ),
    responses((status = OK, body = ReportResponse)))]
pub(crate) async fn report(
    State(app): State<App>,
    _: Actor,
    path: Result<RawPathParams, RawPathParamsRejection>,
    query: Query,
) -> Answer<ReportResponse> {
    let run_id = named(path.as_ref().ok()).ok_or_else(Problem::no_such_path)?;
    Ok(Json(app.ops.report(run_id, query.time("ended_at")?).await?))
}

/// Two runs side by side, with what a dollar bought in each.
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
) -> Answer<RunComparison> {
    let run = |name| query.text(name).ok_or_else(|| Problem::invalid(name, "is required"));
    Ok(Json(app.ops.compare_runs(run("a")?, run("b")?).await?))
}
