//! Digests, and the evidence behind their claims.

use simops::digest::{Digest, DigestStatus, Evidence};
use simops::ops::{
    ActivityResponse, CallsResponse, DigestOptions, DigestResponse, Listing, ReasonBody,
};

use crate::problem::Problem;
use crate::query::{PathParam, Query};
use crate::request::{ReadOps, WriteRequest};
use crate::response::{Json, JsonResult};

/// Drafts the digest of a period, of everything or of some runs, unless evidence is insufficient or the
/// anchor date has a draft of the same. A selection without runs is 404.
#[utoipa::path(post, path = "/api/admin/digest", tag = "reports",
    request_body = DigestOptions, responses((status = OK, body = DigestResponse)))]
pub(super) async fn draft(write: WriteRequest<DigestOptions>) -> JsonResult<DigestResponse> {
    Ok(Json(write.writer().await?.create_digest(&write.body).await?))
}

/// The evidence of a period: every figure that its digest claims.
#[utoipa::path(get, path = "/api/admin/digest/evidence", tag = "reports",
    params(
        ("anchor_date" = Option<String>, Query, description = "The last day (UTC); today by default."),
        ("lookback_days" = Option<i64>, Query, description = "1 to 90; 7 by default."),
        ("run_id" = Option<String>, Query, description = "Only of this run."),
        ("group_id" = Option<String>, Query, description = "Only of runs of this group, at most 500."),
        ("label" = Option<String>, Query,
            description = "Only of runs with this label, as `NAME:VALUE`. May be given several times: runs with all of them."),
    ),
    responses((status = OK, body = Evidence)))]
pub(super) async fn evidence(ops: ReadOps, query: Query) -> JsonResult<Evidence> {
    let days = query.int("lookback_days", 7)?;
    Ok(Json(ops.evidence_of(query.text("anchor_date"), days, &query.selection()?).await?))
}

/// Activity on a range of UTC days, of everything or of some runs.
#[utoipa::path(get, path = "/api/admin/activity", tag = "reports",
    params(
        ("first_day" = String, Query, description = "The first day, `YYYY-MM-DD`."),
        ("last_day" = String, Query, description = "The last day, at most 89 days later."),
        ("run_id" = Option<String>, Query, description = "Only of this run."),
        ("group_id" = Option<String>, Query, description = "Only of runs of this group, at most 500."),
        ("label" = Option<String>, Query,
            description = "Only of runs with this label, as `NAME:VALUE`. May be given several times: runs with all of them."),
    ),
    responses((status = OK, body = ActivityResponse)))]
pub(super) async fn activity(ops: ReadOps, query: Query) -> JsonResult<ActivityResponse> {
    let (first, last) = days(&query)?;
    Ok(Json(ops.activity(first, last, &query.selection()?).await?))
}

/// Model calls on a range of UTC days, of everything or of some runs.
#[utoipa::path(get, path = "/api/admin/usage/summary", tag = "reports",
    params(
        ("first_day" = String, Query, description = "The first day, `YYYY-MM-DD`."),
        ("last_day" = String, Query, description = "The last day, at most 89 days later."),
        ("run_id" = Option<String>, Query, description = "Only of this run."),
        ("group_id" = Option<String>, Query, description = "Only of runs of this group, at most 500."),
        ("label" = Option<String>, Query,
            description = "Only of runs with this label, as `NAME:VALUE`. May be given several times: runs with all of them."),
    ),
    responses((status = OK, body = CallsResponse)))]
pub(super) async fn calls(ops: ReadOps, query: Query) -> JsonResult<CallsResponse> {
    let (first, last) = days(&query)?;
    Ok(Json(ops.calls_summary(first, last, &query.selection()?).await?))
}

/// The digests, newest first.
#[utoipa::path(get, path = "/api/admin/digests", tag = "reports",
    params(
        ("status" = Option<String>, Query, description = "Only `draft`, `published` or `discarded`."),
        ("limit" = Option<i64>, Query, description = "1 to 500; 50 by default."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page."),
    ),
    responses((status = OK, body = Listing<Digest>)))]
pub(super) async fn list(ops: ReadOps, query: Query) -> JsonResult<Listing<Digest>> {
    let limit = query.int("limit", 50)?;
    Ok(Json(ops.digests(query.text("status"), limit, query.text("cursor")).await?))
}

/// One digest.
#[utoipa::path(get, path = "/api/admin/digests/{slug}", tag = "reports",
    params(("slug" = String, Path, description = "The digest's slug.")),
    responses((status = OK, body = Digest)))]
pub(super) async fn one(ops: ReadOps, PathParam(slug): PathParam) -> JsonResult<Digest> {
    Ok(Json(ops.digest_named(&slug).await?))
}

/// Publishes a digest.
#[utoipa::path(post, path = "/api/admin/digests/{slug}/publish", tag = "reports",
    params(("slug" = String, Path, description = "The digest's slug.")),
    request_body = ReasonBody, responses((status = OK, body = Digest)))]
pub(super) async fn publish(
    PathParam(slug): PathParam,
    write: WriteRequest<ReasonBody>,
) -> JsonResult<Digest> {
    change(&slug, &write, DigestStatus::Published).await
}

/// Discards a digest permanently.
#[utoipa::path(post, path = "/api/admin/digests/{slug}/discard", tag = "reports",
    params(("slug" = String, Path, description = "The digest's slug.")),
    request_body = ReasonBody, responses((status = OK, body = Digest)))]
pub(super) async fn discard(
    PathParam(slug): PathParam,
    write: WriteRequest<ReasonBody>,
) -> JsonResult<Digest> {
    change(&slug, &write, DigestStatus::Discarded).await
}

async fn change(
    slug: &str,
    write: &WriteRequest<ReasonBody>,
    to: DigestStatus,
) -> JsonResult<Digest> {
    let reason = write.body.reason.as_deref();
    Ok(Json(write.writer().await?.set_digest_status(slug, to, reason).await?))
}

fn days(query: &Query) -> Result<(&str, &str), Problem> {
    let day = |name| query.text(name).ok_or_else(|| Problem::invalid(name, "is required"));
    Ok((day("first_day")?, day("last_day")?))
}
