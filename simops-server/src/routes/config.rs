//! Runtime settings.

use simops::ops::{ConfigResponse, PatchConfig, PatchedConfig};

use crate::request::{ReadOps, WriteRequest};
use crate::response::{Json, JsonResult};

/// Runtime settings: defaults, overrides, effective values, and the type and range of each.
#[utoipa::path(get, path = "/api/admin/config", tag = "settings",
    responses((status = OK, body = ConfigResponse)))]
pub(super) async fn config(ops: ReadOps) -> JsonResult<ConfigResponse> {
    Ok(Json(ops.config().await?))
}

/// Changes settings, all or none.
#[utoipa::path(patch, path = "/api/admin/config", tag = "settings",
    request_body = PatchConfig, responses((status = OK, body = PatchedConfig)))]
pub(super) async fn patch(write: WriteRequest<PatchConfig>) -> JsonResult<PatchedConfig> {
    Ok(Json(write.writer().await?.patch_config(write.body.clone()).await?))
}
