//! The event log.

use axum::extract::State;
use simops::event::Event;
use simops::ops::{EventsQuery, EventsResponse};

use crate::access::Actor;
use crate::path::PathParam;
use crate::problem::Problem;
use crate::query::Query;
use crate::response::{Json, JsonResult};
use crate::state::App;

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
pub(crate) async fn list(
    State(app): State<App>,
    _: Actor,
    query: Query,
) -> JsonResult<EventsResponse> {
    let text = |name| query.text(name).map(str::to_owned);
    let wanted = EventsQuery {
        run_id: text("run_id"),
        event_type: text("type"),
        after: query.time("after")?,
        until: query.time("until")?,
        cursor: text("cursor"),
        limit: query.int("limit", 50)?,
    };
    Ok(Json(app.ops.events(&wanted).await?))
}

/// One event.
#[utoipa::path(get, path = "/api/admin/events/{id}", tag = "records",
    params(("id" = i64, Path, description = "The event's id.")),
    responses((status = OK, body = Event)))]
pub(crate) async fn one(
    State(app): State<App>,
    _: Actor,
    PathParam(id): PathParam,
) -> JsonResult<Event> {
    let id = id.parse().map_err(|_| Problem::no_such_path())?;
    Ok(Json(app.ops.event(id).await?))
}
