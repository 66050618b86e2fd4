//! The status.

use axum::extract::State;
use axum::response::Response;
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
pub(crate) async fn status(State(app): State<App>, actor: Actor) -> Result<Response, Problem> {
    let snapshot = app.snapshots.now(&app.ops).await?;
    Ok(json(snapshot.seen_by(&actor, app.ops.clock().now(), (b"", b""))?))
}
