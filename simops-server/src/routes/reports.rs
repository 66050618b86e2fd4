//! Baselines, and reports of runs.

use axum::response::{IntoResponse, Response};
use simops::baseline::BaselineResponse;
use simops::ops::{BaselineOptions, ReportResponse};
use simops::progress::NO_PROGRESS;
use simops::report::{RunComparison, RunsReport};

use crate::problem::Problem;
use crate::query::{PathParam, Query};
use crate::request::{ReadOps, WriteRequest};
use crate::response::{Json, JsonResult, csv};

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

/// The report of a group of runs, or of runs with a label.
///
/// It has a row per run with its cost and metrics, and summaries by condition or by the values of a label:
/// n, mean, standard deviation, 95 % confidence interval, least and greatest value. At most 500 runs; a
/// selection without runs is 404.
#[utoipa::path(get, path = "/api/admin/run/report", tag = "reports",
    params(
        ("group_id" = Option<String>, Query, description = "Only runs of this group."),
        ("label" = Option<String>, Query,
            description = "Only runs with this label, as `NAME:VALUE`. May be given several times: runs with all of them. Either a group or a label is required."),
        ("by" = Option<String>, Query,
            description = "The name of the label whose values have a summary each; the condition by default."),
        ("format" = Option<String>, Query,
            description = "`json` (default), `csv` with a line per run, or `summary_csv` with a line per summary and metric."),
    ),
    responses((status = OK, content(
        (RunsReport = "application/json"),
        (String = "text/csv"),
    ))))]
pub(super) async fn of_runs(ops: ReadOps, query: Query) -> Result<Response, Problem> {
    let written: Option<fn(&RunsReport) -> String> = match query.text("format") {
        None | Some("json") => None,
        Some("csv") => Some(RunsReport::csv),
        Some("summary_csv") => Some(RunsReport::summary_csv),
        Some(_) => return Err(Problem::invalid("format", "must be one of json, csv, summary_csv")),
    };
    let report = ops.runs_report(&query.selection()?, query.text("by")).await?;
    Ok(match written {
        Some(written) => csv(written(&report), None),
        None => Json(report).into_response(),
    })
}

/// Takes a baseline and writes it to the server's output folder.
///
/// It holds the budget, the thresholds, recent provider failures and the metrics of windows that end now.
/// With a run, a group or labels, failures and metrics are of those runs only, with their cost; a selection
/// without runs is 404.
#[utoipa::path(post, path = "/api/admin/baseline", tag = "reports",
    request_body = BaselineOptions, responses((status = OK, body = BaselineResponse)))]
pub(super) async fn take(write: WriteRequest<BaselineOptions>) -> JsonResult<BaselineResponse> {
    Ok(Json(write.writer().await?.write_baseline(&write.body, NO_PROGRESS).await?))
}
