//! Status, metrics, audit and events as they happen.

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::access::Actor;
use crate::app::App;
use crate::problem::Problem;

/// Changes as server-sent events: `status` (as `GET status`) and `metrics` (as `GET run/metrics`) at
/// once and whenever they change, `audit` and `events` (`{items}`, newest first) as rows come in,
/// `alert` (`{items}`, the newest alert of each rate) when one changes.
#[utoipa::path(get, path = "/api/admin/stream", tag = "status",
    responses((status = OK, body = String, content_type = "text/event-stream")))]
pub(crate) async fn stream(State(app): State<App>, actor: Actor) -> Result<Response, Problem> {
    let listener = app.streams.listen(actor).await?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        // Proxies that buffer would hold the news back.
        (header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    Ok((headers, listener.into_body()).into_response())
}
