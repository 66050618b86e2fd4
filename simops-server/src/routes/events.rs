//! The event log.

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, State};
use simops::event::Event;
use simops::ops::{EventsQuery, EventsResponse};

use super::named;
use crate::access::Actor;
use crate::answer::{Answer, Json};
use crate::app::App;
use crate::problem::Problem;
use crate::query::Query;

/// The event log, newest first.
#[utoipa::path(get, path = "/api/admin/events", tag = "records",
    params(
        ("run_id" = Option<String>, Query, description = "Only of this run."),
        ("type" = Option<String>, Query, description = "Only of this type."),
        ("after" = Option<String>, Query, description = "Only later than this time, not at it."),
        ("until" = Option<String>, Query, description = "Only at this time or earlier."),
        ("limit" = Option<i64>, Query, description = "1 to 500; 50 when absent."),
        ("cursor" = Option<String>, Query, description = "A next_cursor of an earlier answer."),
    ),
    responses((status = OK, body = EventsResponse)))]
pub(crate) async fn list(State(app): State<App>, _: Actor, query: Query) -> Answer<EventsResponse> {
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
    params(("id" = i64, Path, description = "The event's number.")),
    responses((status = OK, body = Event)))]
pub(crate) async fn one(
    State(app): State<App>,
    _: Actor,
    path: Result<RawPathParams, RawPathParamsRejection>,
) -> Answer<Event> {
    let id = named(path.as_ref().ok()).and_then(|id| id.parse().ok());
    Ok(Json(app.ops.event(id.ok_or_else(Problem::no_such_path)?).await?))
}
