//! Baselines.

use axum::extract::State;
use simops::baseline::BaselineResponse;
use simops::ops::BaselineOptions;
use simops::progress::NO_PROGRESS;

use crate::body::WriteRequest;
use crate::response::{Json, JsonResult};
use crate::state::App;

/// Takes a baseline and writes it to the server's output folder.
///
/// It holds the budget, the thresholds, recent provider failures and the metrics of windows that end now.
#[utoipa::path(post, path = "/api/admin/baseline", tag = "reports",
    request_body = BaselineOptions, responses((status = OK, body = BaselineResponse)))]
pub(crate) async fn take(
    State(app): State<App>,
    write: WriteRequest<BaselineOptions>,
) -> JsonResult<BaselineResponse> {
    Ok(Json(app.ops.writer(&write.caller).await?.write_baseline(&write.body, NO_PROGRESS).await?))
}
