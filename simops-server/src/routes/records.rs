//! The audit trail and the event log.

use simops::control::AuditHead;
use simops::event::Event;
use simops::ops::{AuditResponse, AuditVerification, EventsQuery, Listing};

use crate::problem::Problem;
use crate::query::{PathParam, Query};
use crate::request::ReadOps;
use crate::response::{Json, JsonResult};

/// The audit trail, newest first.
#[utoipa::path(get, path = "/api/admin/audit", tag = "records",
    params(
        ("limit" = Option<i64>, Query, description = "1 to 500; 50 when absent."),
        ("offset" = Option<i64>, Query, description = "Rows to skip, from the newest."),
    ),
    responses((status = OK, body = AuditResponse)))]
pub(super) async fn audit(ops: ReadOps, query: Query) -> JsonResult<AuditResponse> {
    let (limit, offset) = (query.int("limit", 50)?, query.int("offset", 0)?);
    Ok(Json(ops.audit(limit, offset).await?))
}

/// Recomputes the hashes of the whole trail and compares them with a head kept elsewhere.
#[utoipa::path(get, path = "/api/admin/audit/verify", tag = "records",
    params(
        ("head_id" = Option<i64>, Query, description = "The id of a head kept elsewhere."),
        ("head_hash" = Option<String>, Query, description = "Its hash."),
    ),
    responses((status = OK, body = AuditVerification)))]
pub(super) async fn verify(ops: ReadOps, query: Query) -> JsonResult<AuditVerification> {
    let id = query.text("head_id").map(|_| query.int("head_id", 0)).transpose()?;
    let remembered = match (id, query.text("head_hash")) {
        (None, None) => None,
        (Some(id), Some(hash)) if id > 0 => Some(AuditHead { id, hash: hash.to_owned() }),
        (None, Some(_)) => return Err(Problem::invalid("head_id", "must be given with head_hash")),
        (Some(id), None) if id > 0 => {
            return Err(Problem::invalid("head_hash", "must be given with head_id"));
        }
        _ => return Err(Problem::invalid("head_id", "must be at least 1")),
    };
    Ok(Json(ops.verify_audit(remembered).await?))
}

/// The event log, newest first.
#[utoipa::path(get, path = "/api/admin/events", tag = "records",
    params(
        ("run_id" = Option<String>, Query, description = "Only of this run."),
        ("type" = Option<String>, Query, description = "Only of this type."),
        ("after" = Option<String>, Query, description = "Only after this time, exclusive."),
        ("until" = Option<String>, Query, description = "Only until this time, inclusive."),
        ("limit" = Option<i64>, Query, description = "1 to 500; 50 by default."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page."),
    ),
    responses((status = OK, body = Listing<Event>)))]
pub(super) async fn list(ops: ReadOps, query: Query) -> JsonResult<Listing<Event>> {
    let text = |name| query.text(name).map(str::to_owned);
    let wanted = EventsQuery {
        run_id: text("run_id"),
        event_type: text("type"),
        after: query.time("after")?,
        until: query.time("until")?,
        cursor: text("cursor"),
        limit: query.int("limit", 50)?,
    };
    Ok(Json(ops.events(&wanted).await?))
}

/// One event.
#[utoipa::path(get, path = "/api/admin/events/{id}", tag = "records",
    params(("id" = i64, Path, description = "The event's id.")),
    responses((status = OK, body = Event)))]
pub(super) async fn one(ops: ReadOps, PathParam(id): PathParam) -> JsonResult<Event> {
    let id = id.parse().map_err(|_| Problem::no_such_path())?;
    Ok(Json(ops.event(id).await?))
}
