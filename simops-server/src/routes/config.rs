//! Runtime settings.

use axum::extract::State;
use simops::ops::{ConfigResponse, PatchConfig, PatchedConfig};

use crate::access::Actor;
use crate::body::WriteRequest;
use crate::response::{Json, JsonResult};
use crate::state::App;

/// Runtime settings: defaults, overrides, effective values, and the type and range of each.
#[utoipa::path(get, path = "/api/admin/config", tag = "settings",
    responses((status = OK, body = ConfigResponse)))]
pub(crate) async fn config(State(app): State<App>, _: Actor) -> JsonResult<ConfigResponse> {
    Ok(Json(app.ops.config().await?))
}

/// Changes settings, all or none.
#[utoipa::path(patch, path = "/api/admin/config", tag = "settings",
    request_body = PatchConfig, responses((status = OK, body = PatchedConfig)))]
pub(crate) async fn patch(
    State(app): State<App>,
    write: WriteRequest<PatchConfig>,
) -> JsonResult<PatchedConfig> {
    Ok(Json(app.ops.writer(&write.caller).await?.patch_config(write.body).await?))
}
