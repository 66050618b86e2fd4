//! The status, once or as a stream of changes.

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Serialize;
use simops::ops::StatusView;

use crate::access::Actor;
use crate::problem::Problem;
use crate::response::json;
use crate::state::App;

/// The status as one actor sees it. [`crate::snapshot`] serialises it.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Status {
    #[serde(flatten)]
    view: StatusView,
    /// Whether `ADMIN_IP_ALLOWLIST` restricts the addresses that may use the API.
    admin_ip_allowlisted: bool,
    /// The server's time.
    #[schema(value_type = String, format = DateTime)]
    server_time_utc: Timestamp,
    /// Who sent the request.
    actor: Actor,
}

/// The state of the run, its hosts, the budget and the guardrails.
#[utoipa::path(get, path = "/api/admin/status", tag = "status",
    responses((status = OK, body = Status)))]
pub(super) async fn status(State(app): State<App>, actor: Actor) -> Result<Response, Problem> {
    let snapshot = app.snapshots.now(&app.ops).await?;
    Ok(json(snapshot.seen_by(&actor, app.ops.clock().now(), (b"", b""))?))
}

/// Changes as server-sent events: `status` (as `GET status`) and `metrics` (as `GET run/metrics`) at
/// once and on every change, `audit` and `events` (`{items}`, newest first) for new rows, `alert`
/// (`{items}`, the newest alert of each rate) on a change.
#[utoipa::path(get, path = "/api/admin/stream", tag = "status",
    responses((status = OK, body = String, content_type = "text/event-stream")))]
pub(super) async fn stream(State(app): State<App>, actor: Actor) -> Result<Response, Problem> {
    let subscriber = app.streams.subscribe(actor).await?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        // Buffering proxies would delay the events.
        (header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    Ok((headers, subscriber.into_body()).into_response())
}
