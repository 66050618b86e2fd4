//! Visitors' events, their rollups, the alerts on them and the messages that report these.

use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use simops::alert::Alert;
use simops::kpi;
use simops::ops::{
    AlertChanged, DeleteVisits, DeletedVisits, DeliveryResponse, KpiRecorded, KpiRollups, Listing,
    ReasonBody, Replayed, SilenceAlert,
};
use simops::store::MessageRecord;

use crate::access::Client;
use crate::body;
use crate::problem::Problem;
use crate::query::{PathParam, Query};
use crate::request::{ReadOps, WriteRequest};
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
    let sender = app.ingest.sender(client.0);
    let admitted = body::check_size(&body).and_then(|()| {
        sender.admit(body::declared_bytes(&body), Instant::now())?;
        app.ingest.authorize(&parts.headers, &parts.uri)?;
        check_type(&parts.headers)?;
        app.ingest.check_room(&app.ops, 0)?;
        app.visitors_bodies.take_for(client.0, &body)
    });
    let arrived = |bytes| sender.count_bytes(bytes);
    let (_place, bytes) = body::read_admitted(admitted, body, arrived).await?;
    let _recording = app.ingest.record(&app.ops, bytes.len())?;
    let events = kpi::parse(&bytes, app.ops.clock().now())?;
    sender.count_events(events.len());
    Ok(app.ops.system().record_kpi(&events).await?)
}

/// Accepts JSON, and plain text because browsers' beacons send JSON as such.
fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    if matches!(
        body::content_type(headers).as_deref(),
        None | Some("application/json" | "text/plain")
    ) {
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

/// Deletes the events of some visitors on a day, such as forged ones, and corrects the sums.
#[utoipa::path(post, path = "/api/admin/kpi/visits/delete", tag = "kpi",
    request_body = DeleteVisits, responses((status = OK, body = DeletedVisits)))]
pub(super) async fn delete_visits(write: WriteRequest<DeleteVisits>) -> JsonResult<DeletedVisits> {
    Ok(Json(write.writer().await?.delete_visits(&write.body).await?))
}

/// Alerts, the most recently fired first.
#[utoipa::path(get, path = "/api/admin/kpi/alerts", tag = "kpi",
    params(
        ("limit" = Option<i64>, Query, description = "1 to 500; 50 when absent."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page."),
    ),
    responses((status = OK, body = Listing<Alert>)))]
pub(super) async fn list(ops: ReadOps, query: Query) -> JsonResult<Listing<Alert>> {
    Ok(Json(ops.alerts(query.text("cursor"), query.int("limit", 50)?).await?))
}

/// One alert.
#[utoipa::path(get, path = "/api/admin/kpi/alerts/{id}", tag = "kpi",
    params(("id" = String, Path, description = "The alert.")),
    responses((status = OK, body = Alert)))]
pub(super) async fn one(ops: ReadOps, PathParam(id): PathParam) -> JsonResult<Alert> {
    Ok(Json(ops.alert(&id).await?))
}

/// Acknowledges an alert: it is not sent again unless its severity rises.
#[utoipa::path(post, path = "/api/admin/kpi/alerts/{id}/acknowledge", tag = "kpi",
    params(("id" = String, Path, description = "The alert.")),
    request_body = ReasonBody, responses((status = OK, body = AlertChanged)))]
pub(super) async fn acknowledge(
    PathParam(id): PathParam,
    write: WriteRequest<ReasonBody>,
) -> JsonResult<AlertChanged> {
    let reason = write.body.reason.as_deref();
    Ok(Json(write.writer().await?.acknowledge_alert(&id, reason).await?))
}

/// Silences an alert until a time; without one, ends the silence.
#[utoipa::path(post, path = "/api/admin/kpi/alerts/{id}/silence", tag = "kpi",
    params(("id" = String, Path, description = "The alert.")),
    request_body = SilenceAlert, responses((status = OK, body = AlertChanged)))]
pub(super) async fn silence(
    PathParam(id): PathParam,
    write: WriteRequest<SilenceAlert>,
) -> JsonResult<AlertChanged> {
    Ok(Json(write.writer().await?.silence_alert(&id, &write.body).await?))
}

/// Messages with the state of their deliveries, newest first.
#[utoipa::path(get, path = "/api/admin/kpi/notifications", tag = "kpi",
    params(
        ("limit" = Option<i64>, Query, description = "1 to 500; 50 when absent."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page."),
    ),
    responses((status = OK, body = Listing<MessageRecord>)))]
pub(super) async fn messages(ops: ReadOps, query: Query) -> JsonResult<Listing<MessageRecord>> {
    Ok(Json(ops.messages(query.text("cursor"), query.int("limit", 50)?).await?))
}

/// One delivery with its attempts.
#[utoipa::path(get, path = "/api/admin/kpi/deliveries/{id}", tag = "kpi",
    params(("id" = String, Path, description = "The delivery.")),
    responses((status = OK, body = DeliveryResponse)))]
pub(super) async fn delivery(
    ops: ReadOps,
    PathParam(id): PathParam,
) -> JsonResult<DeliveryResponse> {
    Ok(Json(ops.delivery(&id).await?))
}

/// Delivers a message again under the same id, whatever the state of the delivery.
#[utoipa::path(post, path = "/api/admin/kpi/deliveries/{id}/replay", tag = "kpi",
    params(("id" = String, Path, description = "The delivery.")),
    request_body = ReasonBody, responses((status = OK, body = Replayed)))]
pub(super) async fn replay(
    PathParam(id): PathParam,
    write: WriteRequest<ReasonBody>,
) -> JsonResult<Replayed> {
    let reason = write.body.reason.as_deref();
    Ok(Json(write.writer().await?.replay_delivery(&id, reason).await?))
}
