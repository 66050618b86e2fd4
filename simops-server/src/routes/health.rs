//! Health checks and Prometheus metrics.

use std::time::Instant;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use simops::control::HostState;

use crate::access::Client;
use crate::metrics::{self, Exposition};
use crate::openapi;
use crate::problem::Problem;
use crate::response::{self, Json, JsonResult};
use crate::snapshot::Snapshot;
use crate::state::App;

const PROMETHEUS: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
const RUN_STATES: [&str; 7] =
    ["idle", "starting", "running", "pausing", "paused", "stopping", "stopped"];

/// Responds while the process runs.
pub(super) async fn healthz() -> Json<Value> {
    Json(json!({ "ok": true }))
}

/// Responds with success while the store can be read and written.
pub(super) async fn readyz(State(app): State<App>) -> JsonResult<Value> {
    ready(&app).await?;
    Ok(Json(json!({ "ok": true })))
}

async fn ready(app: &App) -> Result<(), Problem> {
    app.ready.get(|| 0, async || Ok(app.ops.ready().await.map_err(Problem::from))).await?
}

/// The API's description. It takes some milliseconds, which the start of the server need not wait for.
pub(super) async fn openapi(State(app): State<App>) -> Result<Response, Problem> {
    let known = match app.openapi.get() {
        Some(known) => known,
        None => {
            let (_, description) = super::admin().split_for_parts();
            let made = openapi::finish(&description)?;
            app.openapi.get_or_init(|| made)
        }
    };
    Ok(response::json(known.clone()))
}

/// Metrics at the server's own address, for those who may read them.
pub(crate) async fn guarded_metrics(
    app: State<App>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
) -> Response {
    match app.access.check_metrics(client.0, &headers, Instant::now()).await {
        Ok(()) => metrics(app).await,
        Err(problem) => problem.into_response(),
    }
}

/// Metrics. While the store is unavailable, those read from it are left out.
pub(super) async fn metrics(State(app): State<App>) -> Response {
    let mut text = Exposition::default();
    let status = app.snapshots.now(&app.ops).await;
    text.gauge("simops_store_up", "Whether the store is available.", u8::from(status.is_ok()));
    let writable = u8::from(ready(&app).await.is_ok());
    text.gauge("simops_store_writable", "Whether a small write succeeds.", writable);
    if let Ok(status) = status {
        write_status(&mut text, &status);
    }
    if let Some(disk) = app.ops.disk_space() {
        let name = "simops_database_disk_free_bytes";
        text.gauge(name, "Free space of the disk of the database.", disk.free_bytes);
        let name = "simops_database_disk_bytes";
        text.gauge(name, "Size of the disk of the database.", disk.total_bytes);
        let name = "simops_database_log_bytes";
        text.gauge(name, "Size of the write-ahead log of the database.", disk.log_bytes);
    }
    if let Some(open) = metrics::open_files() {
        text.gauge("process_open_fds", "Open file descriptors.", open);
    }
    if let Ok(limit) = rlimit::Resource::NOFILE.get_soft() {
        text.gauge("process_max_fds", "The limit of open file descriptors.", limit);
    }
    text.gauge("simops_streams", "Server-sent event streams open.", app.streams.open());
    let started = app.metrics.started_seconds();
    text.gauge("process_start_time_seconds", "When this process started, in Unix time.", started);
    app.metrics.write(&mut text);
    ([(header::CONTENT_TYPE, PROMETHEUS)], text.into_text()).into_response()
}

fn write_status(text: &mut Exposition, status: &Snapshot) {
    let view = &status.view;
    let name = "simops_run_state";
    text.family(name, "gauge", "1 for the run state that hosts have confirmed.");
    let now = json!(view.run_state);
    for state in RUN_STATES {
        text.sample(name, &[("state", state)], u8::from(now == state));
    }
    let ops = &view.viewer_ops;
    let active = u8::from(ops.simulation_active);
    text.gauge("simops_simulation_active", "Whether a run is active.", active);
    let paused = u8::from(ops.simulation_paused);
    text.gauge("simops_simulation_paused", "Whether the simulation is paused.", paused);
    text.gauge("simops_generation", "Changes of control state so far.", view.generation);
    let lost = view.hosts.iter().filter(|host| host.state == HostState::Lost).count();
    let name = "simops_hosts";
    text.family(name, "gauge", "Hosts that have reported within 15 s, and others.");
    text.sample(name, &[("state", "live")], view.hosts.len() - lost);
    text.sample(name, &[("state", "lost")], lost);
    let used = &view.llm_budget.used;
    let cost = used.cost.dollars();
    text.gauge("simops_day_cost_usd", "Cost of model calls on this UTC day.", cost);
    text.gauge("simops_day_calls", "Model calls on this UTC day.", used.calls_total);
}
