//! Server-sent events.

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::access::Actor;
use crate::problem::Problem;
use crate::state::App;

/// Changes as server-sent events: `status` (as `GET status`) and `metrics` (as `GET run/metrics`) at
/// once and on every change, `audit` and `events` (`{items}`, newest first) for new rows, `alert`
/// (`{items}`, the newest alert of each rate) on a change.
#[utoipa::path(get, path = "/api/admin/stream", tag = "status",
    responses((status = OK, body = String, content_type = "text/event-stream")))]
pub(crate) async fn stream(State(app): State<App>, actor: Actor) -> Result<Response, Problem> {
    let subscriber = app.streams.subscribe(actor).await?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        // Buffering proxies would delay the events.
        (header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    Ok((headers, subscriber.into_body()).into_response())
}
