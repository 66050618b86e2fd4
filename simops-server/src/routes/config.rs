//! Runtime settings.

use axum::extract::State;
use simops::ops::{ConfigResponse, PatchConfig, PatchedConfig};

use crate::access::Actor;
use crate::answer::{Answer, Json};
use crate::app::App;
use crate::body::Write;

/// Runtime settings: defaults, overrides, values in force, and what may be changed how.
#[utoipa::path(get, path = "/api/admin/config", tag = "settings",
    responses((status = OK, body = ConfigResponse)))]
pub(crate) async fn config(State(app): State<App>, _: Actor) -> Answer<ConfigResponse> {
    Ok(Json(app.ops.config().await?))
}

/// Changes settings, all or none.
#[utoipa::path(patch, path = "/api/admin/config", tag = "settings",
    request_body = PatchConfig, responses((status = OK, body = PatchedConfig)))]
pub(crate) async fn patch(
    State(app): State<App>,
    write: Write<PatchConfig>,
) -> Answer<PatchedConfig> {
    Ok(Json(app.ops.patch_config(&write.caller, write.body).await?))
}
