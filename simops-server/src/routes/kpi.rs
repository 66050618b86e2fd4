//! Visitors' events and their rollups.

use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use simops::kpi;
use simops::ops::{KpiRecorded, KpiRollups};

use crate::access::Client;
use crate::body;
use crate::problem::Problem;
use crate::query::Query;
use crate::request::ReadOps;
use crate::response::{Json, JsonResult};
use crate::state::App;

/// How long a browser may cache a preflight response, in seconds.
const PREFLIGHT_MAX_AGE: HeaderValue = HeaderValue::from_static("86400");

/// Rollups per day, their seven-day averages, and the alerts on them.
#[utoipa::path(get, path = "/api/admin/kpi/rollups", tag = "kpi",
    params(("days" = Option<i64>, Query, description = "1 to 90; 14 by default.")),
    responses((status = OK, body = KpiRollups)))]
pub(super) async fn rollups(ops: ReadOps, query: Query) -> JsonResult<KpiRollups> {
    Ok(Json(ops.kpi_rollups(query.int("days", 14)?).await?))
}

/// Records events of visitors. Public, so [`crate::ingest`] bounds its load.
pub(super) async fn record(State(app): State<App>, request: Request) -> Response {
    let mut cors = HeaderMap::new();
    app.ingest.allow_origin(request.headers(), &mut cors);
    let mut response = match read_and_record(&app, request).await {
        Ok(recorded) => Json(recorded).into_response(),
        Err(problem) => problem.into_response(),
    };
    response.headers_mut().extend(cors);
    response
}

async fn read_and_record(app: &App, request: Request) -> Result<KpiRecorded, Problem> {
    let client = request.extensions().get::<Client>().copied();
    let client =
        client.ok_or_else(|| Problem::internal("a request without a client address".to_owned()))?;
    let (parts, body) = request.into_parts();
    let admitted = match app.ingest.admit(client.0, Instant::now()) {
        Ok(permit) => app
            .ingest
            .authorize(&parts.headers, &parts.uri)
            .and_then(|()| check_type(&parts.headers))
            .map(|()| permit),
        Err(problem) => Err(problem),
    };
    let _reading = match admitted {
        Ok(permit) => permit,
        Err(problem) => {
            body::drain(body).await;
            return Err(problem);
        }
    };
    let bytes = body::read(body).await?;
    let _recording = app.ingest.recording_permit()?;
    let events = kpi::parse(&bytes, app.ops.clock().now())?;
    Ok(app.ops.system().record_kpi(&events).await?)
}

/// Accepts JSON, and plain text because browsers' beacons send JSON as such.
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

/// Answers the CORS preflight of a page of another origin.
pub(super) async fn preflight(State(app): State<App>, headers: HeaderMap) -> Response {
    let mut cors = HeaderMap::new();
    app.ingest.allow_origin(&headers, &mut cors);
    if cors.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
        let post = HeaderValue::from_static("POST");
        let content_type = HeaderValue::from_static("content-type, x-write-key");
        cors.insert(header::ACCESS_CONTROL_ALLOW_METHODS, post);
        cors.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, content_type);
        cors.insert(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_MAX_AGE);
    }
    (StatusCode::NO_CONTENT, cors).into_response()
}
