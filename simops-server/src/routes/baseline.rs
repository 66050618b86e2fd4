//! Baselines.

use axum::extract::State;
use simops::baseline::BaselineResponse;
use simops::ops::BaselineOptions;
use simops::progress::NO_PROGRESS;

use crate::answer::{Answer, Json};
use crate::app::App;
use crate::body::Write;

/// Takes a baseline, and writes it below the server's output folder.
///
/// Budget, thresholds, recent provider failures, and the figures of windows that end now.
#[utoipa::path(post, path = "/api/admin/baseline", tag = "reports",
    request_body = BaselineOptions, responses((status = OK, body = BaselineResponse)))]
pub(crate) async fn take(
    State(app): State<App>,
    write: Write<BaselineOptions>,
) -> Answer<BaselineResponse> {
    Ok(Json(app.ops.write_baseline(&write.caller, &write.body, NO_PROGRESS).await?))
}
