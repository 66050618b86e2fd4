//! Visitors' events and what is shown of them.

use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use simops::kpi;
use simops::ops::{KpiRecorded, KpiRollups};

use crate::access::{Actor, Client};
use crate::answer::{Answer, Json};
use crate::app::App;
use crate::body;
use crate::problem::Problem;
use crate::query::Query;

/// How long a browser may remember what [`preflight`] says, in seconds.
const REMEMBER: HeaderValue = HeaderValue::from_static("86400");

/// The days' rollups, what they are compared with, and what calls for a person.
#[utoipa::path(get, path = "/api/admin/kpi/rollups", tag = "kpi",
    params(("days" = Option<i64>, Query, description = "1 to 90; 14 when absent.")),
    responses((status = OK, body = KpiRollups)))]
pub(crate) async fn rollups(State(app): State<App>, _: Actor, query: Query) -> Answer<KpiRollups> {
    Ok(Json(app.ops.kpi_rollups(query.int("days", 14)?).await?))
}

/// Takes events of visitors. Public: what it may do to the server is bounded by [`crate::ingest`].
pub(crate) async fn record(State(app): State<App>, request: Request) -> Response {
    let mut allowed = HeaderMap::new();
    app.ingest.allow_origin(request.headers(), &mut allowed);
    let mut response = match take(&app, request).await {
        Ok(recorded) => Json(recorded).into_response(),
        Err(problem) => problem.into_response(),
    };
    response.headers_mut().extend(allowed);
    response
}

async fn take(app: &App, request: Request) -> Result<KpiRecorded, Problem> {
    let client = request.extensions().get::<Client>().copied();
    let client = client.ok_or_else(|| Problem::internal("a request of nobody".to_owned()))?;
    let (parts, body) = request.into_parts();
    let admitted = match app.ingest.admit(client.0, Instant::now()) {
        Ok(arriving) => check_type(&parts.headers).map(|()| arriving),
        Err(problem) => Err(problem),
    };
    let _arriving = match admitted {
        Ok(arriving) => arriving,
        Err(problem) => {
            body::drain(body).await;
            return Err(problem);
        }
    };
    let bytes = body::read(body).await?;
    let _recording = app.ingest.place()?;
    let events = kpi::parse(&bytes, app.ops.clock().now())?;
    Ok(app.ops.record_kpi(&events).await?)
}

/// JSON, or the plain text as which a browser's beacon sends it.
fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = text.unwrap_or("text/plain").split(';').next().unwrap_or_default();
    let known = ["application/json", "text/plain"];
    if known.iter().any(|known| essence.trim().eq_ignore_ascii_case(known)) {
        return Ok(());
    }
    let detail = "The body must be JSON, as application/json or text/plain";
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
}

/// Tells a browser what a page of another origin may send.
pub(crate) async fn preflight(State(app): State<App>, headers: HeaderMap) -> Response {
    let mut answer = HeaderMap::new();
    app.ingest.allow_origin(&headers, &mut answer);
    if answer.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
        let post = HeaderValue::from_static("POST");
        let content_type = HeaderValue::from_static("content-type");
        answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, post);
        answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, content_type);
        answer.insert(header::ACCESS_CONTROL_MAX_AGE, REMEMBER);
    }
    (StatusCode::NO_CONTENT, answer).into_response()
}
