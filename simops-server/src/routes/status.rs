//! What is going on.

use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use serde::Serialize;
use simops::ops::StatusView;

use crate::access::Actor;
use crate::answer::json;
use crate::app::App;
use crate::problem::Problem;

/// The status as one actor sees it. [`crate::snapshot`] writes it.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Status {
    #[serde(flatten)]
    view: StatusView,
    /// Whether only addresses on `ADMIN_IP_ALLOWLIST` are let in.
    admin_ip_allowlisted: bool,
    /// The server's clock.
    #[schema(value_type = String, format = DateTime)]
    server_time_utc: Timestamp,
    /// Who asks.
    actor: Actor,
}

/// What is going on, at a glance.
#[utoipa::path(get, path = "/api/admin/status", tag = "status",
    responses((status = OK, body = Status)))]
pub(crate) async fn status(State(app): State<App>, actor: Actor) -> Result<Response, Problem> {
    let snapshot = app.snapshots.now(&app.ops).await?;
    Ok(json(snapshot.seen_by(&actor, app.ops.clock().now(), (b"", b""))?))
}
