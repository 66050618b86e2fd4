//! What calls to models have done.

use axum::extract::State;
use simops::ops::UsageSeries;

use crate::access::Actor;
use crate::answer::{Answer, Json};
use crate::app::App;
use crate::query::Query;

/// Calls along time per provider, and when the day's caps will be reached if calls go on as lately.
#[utoipa::path(get, path = "/api/admin/usage/series", tag = "records",
    params(
        ("since" = Option<String>, Query,
            description = "A time, a date, or how long ago (`6h`): at most 8 days; 24h when absent."),
        ("run_id" = Option<String>, Query, description = "Only of this run."),
    ),
    responses((status = OK, body = UsageSeries)))]
pub(crate) async fn series(State(app): State<App>, _: Actor, query: Query) -> Answer<UsageSeries> {
    let since = query.text("since").unwrap_or("24h");
    Ok(Json(app.ops.usage_series(since, query.text("run_id")).await?))
}
