//! Alerts, and what became of the messages that tell them.

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, State};
use simops::alert::Alert;
use simops::ops::{
    AlertChanged, AlertsResponse, DeliveryResponse, MessagesResponse, ReasonBody, Replayed,
    SilenceAlert,
};

use super::named;
use crate::access::Actor;
use crate::answer::{Answer, Json};
use crate::app::App;
use crate::body::Write;
use crate::problem::Problem;
use crate::query::Query;

type Path = Result<RawPathParams, RawPathParamsRejection>;

fn id(path: &Path) -> Result<&str, Problem> {
    named(path.as_ref().ok()).ok_or_else(Problem::no_such_path)
}

/// The alerts, last fired first.
#[utoipa::path(get, path = "/api/admin/kpi/alerts", tag = "kpi",
    params(
        ("limit" = Option<i64>, Query, description = "1 to 500; 50 when absent."),
        ("cursor" = Option<String>, Query, description = "A next_cursor of an earlier answer."),
    ),
    responses((status = OK, body = AlertsResponse)))]
pub(crate) async fn list(State(app): State<App>, _: Actor, query: Query) -> Answer<AlertsResponse> {
    Ok(Json(app.ops.alerts(query.text("cursor"), query.int("limit", 50)?).await?))
}

/// One alert.
#[utoipa::path(get, path = "/api/admin/kpi/alerts/{id}", tag = "kpi",
    params(("id" = String, Path, description = "The alert.")),
    responses((status = OK, body = Alert)))]
pub(crate) async fn one(State(app): State<App>, _: Actor, path: Path) -> Answer<Alert> {
    Ok(Json(app.ops.alert(id(&path)?).await?))
}

/// Says that somebody knows of an alert: it is not told again unless it gets worse.
#[utoipa::path(post, path = "/api/admin/kpi/alerts/{id}/acknowledge", tag = "kpi",
    params(("id" = String, Path, description = "The alert.")),
    request_body = ReasonBody, responses((status = OK, body = AlertChanged)))]
pub(crate) async fn acknowledge(
    State(app): State<App>,
    path: Path,
    write: Write<ReasonBody>,
) -> Answer<AlertChanged> {
    let reason = write.body.reason.as_deref();
    Ok(Json(app.ops.acknowledge_alert(&write.caller, id(&path)?, reason).await?))
}

/// Has nobody told of an alert for a while; without a time, ends that.
#[utoipa::path(post, path = "/api/admin/kpi/alerts/{id}/silence", tag = "kpi",
    params(("id" = String, Path, description = "The alert.")),
    request_body = SilenceAlert, responses((status = OK, body = AlertChanged)))]
pub(crate) async fn silence(
    State(app): State<App>,
    path: Path,
    write: Write<SilenceAlert>,
) -> Answer<AlertChanged> {
    Ok(Json(app.ops.silence_alert(&write.caller, id(&path)?, &write.body).await?))
}

/// The messages, newest first, each with what became of it.
#[utoipa::path(get, path = "/api/admin/kpi/notifications", tag = "kpi",
    params(
        ("limit" = Option<i64>, Query, description = "1 to 500; 50 when absent."),
        ("cursor" = Option<String>, Query, description = "A next_cursor of an earlier answer."),
    ),
    responses((status = OK, body = MessagesResponse)))]
pub(crate) async fn messages(
    State(app): State<App>,
    _: Actor,
    query: Query,
) -> Answer<MessagesResponse> {
    Ok(Json(app.ops.messages(query.text("cursor"), query.int("limit", 50)?).await?))
}

/// One delivery with its tries.
#[utoipa::path(get, path = "/api/admin/kpi/deliveries/{id}", tag = "kpi",
    params(("id" = String, Path, description = "The delivery.")),
    responses((status = OK, body = DeliveryResponse)))]
pub(crate) async fn delivery(
    State(app): State<App>,
    _: Actor,
    path: Path,
) -> Answer<DeliveryResponse> {
    Ok(Json(app.ops.delivery(id(&path)?).await?))
}

/// Has a delivery tried again, whatever became of it, under the same id.
#[utoipa::path(post, path = "/api/admin/kpi/deliveries/{id}/replay", tag = "kpi",
    params(("id" = String, Path, description = "The delivery.")),
    request_body = ReasonBody, responses((status = OK, body = Replayed)))]
pub(crate) async fn replay(
    State(app): State<App>,
    path: Path,
    write: Write<ReasonBody>,
) -> Answer<Replayed> {
    let reason = write.body.reason.as_deref();
    Ok(Json(app.ops.replay_delivery(&write.caller, id(&path)?, reason).await?))
}
