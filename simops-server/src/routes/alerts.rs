//! KPI alerts, and the messages that report them.

use simops::alert::Alert;
use simops::ops::{
    AlertChanged, AlertsResponse, DeliveryResponse, MessagesResponse, ReasonBody, Replayed,
    SilenceAlert,
};

use crate::path::PathParam;
use crate::query::Query;
use crate::request::{ReadOps, WriteRequest};
use crate::response::{Json, JsonResult};

/// Alerts, the most recently fired first.
#[utoipa::path(get, path = "/api/admin/kpi/alerts", tag = "kpi",
    params(
        ("limit" = Option<i64>, Query, description = "1 to 500; 50 when absent."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page."),
    ),
    responses((status = OK, body = AlertsResponse)))]
pub(super) async fn list(ops: ReadOps, query: Query) -> JsonResult<AlertsResponse> {
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
    responses((status = OK, body = MessagesResponse)))]
pub(super) async fn messages(ops: ReadOps, query: Query) -> JsonResult<MessagesResponse> {
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
