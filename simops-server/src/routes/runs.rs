//! The run registry, the metrics of runs, and usage of models.

use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use simops::ops::{ListedRun, Listing, RunMetrics, RunsQuery, UsageSeries};
use simops::run::RunRecord;
use url::form_urlencoded;

use crate::problem::Problem;
use crate::query::{PathParam, Query};
use crate::request::ReadOps;
use crate::response::{Json, JsonResult, csv};

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

/// The run registry, newest start first: of a group or with labels, with figures, as JSON or CSV.
#[utoipa::path(get, path = "/api/admin/runs", tag = "records",
    params(
        ("group_id" = Option<String>, Query, description = "Only runs of this group."),
        ("label" = Option<String>, Query,
            description = "Only runs with this label, as `NAME:VALUE`. May be given several times: runs with all of them."),
        ("figures" = Option<bool>, Query,
            description = "Whether to add `llm`, `activity` and `governance` to each run."),
        ("format" = Option<String>, Query,
            description = "`json` (default), or `csv` with a column per label and per figure; then the header `Link` has the next page."),
        ("limit" = Option<i64>, Query, description = "1 to 500; 50 by default."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page."),
    ),
    responses((status = OK, content(
        (Listing<ListedRun> = "application/json"),
        (String = "text/csv"),
    ))))]
pub(super) async fn list(ops: ReadOps, query: Query, uri: Uri) -> Result<Response, Problem> {
    let is_csv = match query.text("format") {
        None | Some("json") => false,
        Some("csv") => true,
        Some(_) => return Err(Problem::invalid("format", "must be one of json, csv")),
    };
    let wanted = RunsQuery {
        group_id: query.text("group_id").map(str::to_owned),
        labels: query.texts("label"),
        figures: is_csv || query.flag("figures")?,
        cursor: query.text("cursor").map(str::to_owned),
        limit: query.int("limit", 50)?,
    };
    let runs = ops.runs(&wanted).await?;
    if !is_csv {
        return Ok(Json(runs).into_response());
    }
    Ok(csv(runs.csv(), runs.next_cursor.map(|cursor| with_cursor(&uri, &cursor))))
}

/// The address of the next page, relative to that of this one.
fn with_cursor(uri: &Uri, cursor: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    query.extend_pairs(pairs.filter(|(name, _)| name != "cursor"));
    format!("?{}", query.append_pair("cursor", cursor).finish())
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
