//! Digests, and the evidence that their claims link to.

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, State};
use simops::digest::{Digest, DigestStatus, Evidence};
use simops::ops::{
    ActivityResponse, CallsResponse, DigestOptions, DigestResponse, DigestsResponse, ReasonBody,
};

use super::named;
use crate::access::Actor;
use crate::answer::{Answer, Json};
use crate::app::App;
use crate::body::Write;
use crate::problem::Problem;
use crate::query::Query;

/// Drafts the digest of some days, unless there is too little evidence or one of the same date.
#[utoipa::path(post, path = "/api/admin/digest", tag = "reports",
    request_body = DigestOptions, responses((status = OK, body = DigestResponse)))]
pub(crate) async fn draft(
    State(app): State<App>,
    write: Write<DigestOptions>,
) -> Answer<DigestResponse> {
    Ok(Json(app.ops.digest(&write.caller, &write.body).await?))
}

/// What a digest of these days is written from: every figure that it claims.
#[utoipa::path(get, path = "/api/admin/digest/evidence", tag = "reports",
    params(
        ("anchor_date" = Option<String>, Query, description = "The last day (UTC); today when absent."),
        ("lookback_days" = Option<i64>, Query, description = "1 to 90; 7 when absent."),
    ),
    responses((status = OK, body = Evidence)))]
pub(crate) async fn evidence(State(app): State<App>, _: Actor, query: Query) -> Answer<Evidence> {
    let days = query.int("lookback_days", 7)?;
    Ok(Json(app.ops.evidence_of(query.text("anchor_date"), days).await?))
}

/// What happened in some UTC days, in a run or in all.
#[utoipa::path(get, path = "/api/admin/activity", tag = "reports",
    params(
        ("first_day" = String, Query, description = "The first day, `YYYY-MM-DD`."),
        ("last_day" = String, Query, description = "The last day, at most 89 days later."),
        ("run_id" = Option<String>, Query, description = "Only of this run."),
    ),
    responses((status = OK, body = ActivityResponse)))]
pub(crate) async fn activity(
    State(app): State<App>,
    _: Actor,
    query: Query,
) -> Answer<ActivityResponse> {
    let (first, last) = days(&query)?;
    Ok(Json(app.ops.activity(first, last, query.text("run_id")).await?))
}

/// The model calls of some UTC days, of a run or of all.
#[utoipa::path(get, path = "/api/admin/usage/summary", tag = "reports",
    params(
        ("first_day" = String, Query, description = "The first day, `YYYY-MM-DD`."),
        ("last_day" = String, Query, description = "The last day, at most 89 days later."),
        ("run_id" = Option<String>, Query, description = "Only of this run."),
    ),
    responses((status = OK, body = CallsResponse)))]
pub(crate) async fn calls(State(app): State<App>, _: Actor, query: Query) -> Answer<CallsResponse> {
    let (first, last) = days(&query)?;
    Ok(Json(app.ops.calls_summary(first, last, query.text("run_id")).await?))
}

/// The digests, newest first.
#[utoipa::path(get, path = "/api/admin/digests", tag = "reports",
    params(
        ("status" = Option<String>, Query, description = "Only `draft`, `published` or `discarded`."),
        ("limit" = Option<i64>, Query, description = "1 to 500; 50 when absent."),
        ("cursor" = Option<String>, Query, description = "A next_cursor of an earlier answer."),
    ),
    responses((status = OK, body = DigestsResponse)))]
pub(crate) async fn list(
    State(app): State<App>,
    _: Actor,
    query: Query,
) -> Answer<DigestsResponse> {
    let limit = query.int("limit", 50)?;
    Ok(Json(app.ops.digests(query.text("status"), limit, query.text("cursor")).await?))
}

/// One digest.
#[utoipa::path(get, path = "/api/admin/digests/{slug}", tag = "reports",
    params(("slug" = String, Path, description = "The digest's name.")),
    responses((status = OK, body = Digest)))]
pub(crate) async fn one(
    State(app): State<App>,
    _: Actor,
    path: Result<RawPathParams, RawPathParamsRejection>,
) -> Answer<Digest> {
    let slug = named(path.as_ref().ok()).ok_or_else(Problem::no_such_path)?;
    Ok(Json(app.ops.digest_named(slug).await?))
}

/// Publishes a digest.
#[utoipa::path(post, path = "/api/admin/digests/{slug}/publish", tag = "reports",
    params(("slug" = String, Path, description = "The digest's name.")),
    request_body = ReasonBody, responses((status = OK, body = Digest)))]
pub(crate) async fn publish(
    State(app): State<App>,
    path: Result<RawPathParams, RawPathParamsRejection>,
    write: Write<ReasonBody>,
) -> Answer<Digest> {
    change(&app, path.as_ref().ok(), &write, DigestStatus::Published).await
}

/// Discards a digest, for good.
#[utoipa::path(post, path = "/api/admin/digests/{slug}/discard", tag = "reports",
    params(("slug" = String, Path, description = "The digest's name.")),
    request_body = ReasonBody, responses((status = OK, body = Digest)))]
pub(crate) async fn discard(
    State(app): State<App>,
    path: Result<RawPathParams, RawPathParamsRejection>,
    write: Write<ReasonBody>,
) -> Answer<Digest> {
    change(&app, path.as_ref().ok(), &write, DigestStatus::Discarded).await
}

async fn change(
    app: &App,
    path: Option<&RawPathParams>,
    write: &Write<ReasonBody>,
    to: DigestStatus,
) -> Answer<Digest> {
    let slug = named(path).ok_or_else(Problem::no_such_path)?;
    let reason = write.body.reason.as_deref();
    Ok(Json(app.ops.move_digest(&write.caller, slug, to, reason).await?))
}

fn days(query: &Query) -> Result<(&str, &str), Problem> {
    let day = |name| query.text(name).ok_or_else(|| Problem::invalid(name, "is required"));
    Ok((day("first_day")?, day("last_day")?))
}
