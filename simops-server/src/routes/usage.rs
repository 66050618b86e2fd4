//! Usage of models.

use axum::extract::State;
use simops::ops::UsageSeries;

use crate::access::Actor;
use crate::query::Query;
use crate::response::{Json, JsonResult};
use crate::state::App;

/// Calls over time per provider, and a forecast of when the day's caps will be reached.
#[utoipa::path(get, path = "/api/admin/usage/series", tag = "records",
    params(
        ("since" = Option<String>, Query,
            description = "A time, a date or a duration before now (`6h`), at most 8 days; 24h by default."),
        ("run_id" = Option<String>, Query, description = "Only of this run."),
    ),
    responses((status = OK, body = UsageSeries)))]
pub(crate) async fn series(
    State(app): State<App>,
    _: Actor,
    query: Query,
) -> JsonResult<UsageSeries> {
    let since = query.text("since").unwrap_or("24h");
    Ok(Json(app.ops.usage_series(since, query.text("run_id")).await?))
}
