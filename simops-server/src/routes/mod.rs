//! The routes: a file per subject, a use case per route.

mod budgets;
mod config;
mod console;
mod control;
mod digests;
mod health;
mod kpi;
mod records;
mod reports;
mod runs;
mod status;

use axum::Router;
use axum::routing::{get, post};
use simops::ops::KpiRecorded;
use tower_http::compression::CompressionLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::access::MetricsAccess;
use crate::ingest::KPI_EVENTS;
use crate::problem::ProblemBody;
use crate::state::App;

#[derive(OpenApi)]
#[openapi(components(schemas(ProblemBody<'_>, KpiRecorded)))]
struct Description;

/// The admin API with its OpenAPI description.
pub(crate) fn admin() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(status::status))
        .routes(routes!(config::config, config::patch))
        .routes(routes!(budgets::list))
        .routes(routes!(budgets::put, budgets::delete))
        .routes(routes!(records::audit))
        .routes(routes!(records::verify))
        .routes(routes!(control::pause))
        .routes(routes!(control::pause_all))
        .routes(routes!(control::resume))
        .routes(routes!(control::degrade))
        .routes(routes!(control::clear))
        .routes(routes!(control::run_mode))
        .routes(routes!(control::start))
        .routes(routes!(control::stop))
        .routes(routes!(control::limits))
        .routes(routes!(control::stop_all))
        .routes(routes!(control::reset))
        .routes(routes!(runs::metrics))
        .routes(routes!(runs::list))
        .routes(routes!(runs::one))
        .routes(routes!(records::list))
        .routes(routes!(records::one))
        .routes(routes!(runs::series))
        .routes(routes!(reports::take))
        .routes(routes!(kpi::rollups))
        .routes(routes!(reports::report))
        .routes(routes!(reports::compare))
        .routes(routes!(reports::of_runs))
        .routes(routes!(digests::draft))
        .routes(routes!(digests::evidence))
        .routes(routes!(digests::activity))
        .routes(routes!(digests::calls))
        .routes(routes!(digests::list))
        .routes(routes!(digests::one))
        .routes(routes!(digests::publish))
        .routes(routes!(digests::discard))
        .routes(routes!(kpi::list))
        .routes(routes!(kpi::one))
        .routes(routes!(kpi::acknowledge))
        .routes(routes!(kpi::silence))
        .routes(routes!(kpi::messages))
        .routes(routes!(kpi::delivery))
        .routes(routes!(kpi::replay))
        .routes(routes!(kpi::delete_visits))
        .routes(routes!(status::stream))
}

/// The console, and the other routes that are no part of the admin API.
pub(crate) fn public(metrics: MetricsAccess) -> Router<App> {
    let routes = Router::new()
        .route("/ops", get(console::page))
        .route("/ops/assets/{version}/{*name}", get(console::asset))
        .route_layer(CompressionLayer::new())
        .route("/", get(console::root))
        .route("/ops/", get(console::slash))
        .route("/api/openapi.json", get(health::openapi))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route(KPI_EVENTS, post(kpi::record).options(kpi::preflight));
    match metrics {
        MetricsAccess::Open | MetricsAccess::Token => {
            routes.route("/metrics", get(health::guarded_metrics))
        }
        MetricsAccess::Address(_) => routes,
    }
}

/// The routes of the address that serves metrics alone.
pub(crate) fn metrics_only() -> Router<App> {
    Router::new().route("/metrics", get(health::metrics)).route("/healthz", get(health::healthz))
}
