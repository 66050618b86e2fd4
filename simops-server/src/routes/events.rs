//! The event log.

use simops::event::Event;
use simops::ops::{EventsQuery, EventsResponse};

use crate::path::PathParam;
use crate::problem::Problem;
use crate::query::Query;
use crate::request::ReadOps;
use crate::response::{Json, JsonResult};

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
    responses((status = OK, body = EventsResponse)))]
pub(super) async fn list(ops: ReadOps, query: Query) -> JsonResult<EventsResponse> {
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
