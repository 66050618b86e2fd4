//! Several servers and workers on one Postgres.

mod clocks;
mod commands;
mod digests;
mod guardrail;
mod load;
mod outages;
mod rolling;
mod timers;
mod together;

use std::path::Path;

use serde_json::{Value, json};
use simops_tests::{Client, Server, ServerBuilder, eventually};

/// A server without a world of its own.
pub(crate) fn server(dir: &Path, url: &str) -> ServerBuilder {
    ServerBuilder::new(dir).env("DATABASE_URL", url).env("SIMOPS_HOST", "none")
}

/// The state that a host is shown in.
pub(crate) fn host<'s>(status: &'s Value, id: &str) -> Option<&'s str> {
    let hosts = status["hosts"].as_array()?;
    hosts.iter().find(|host| host["id"] == id)?["state"].as_str()
}

/// The status, once all hosts with these ids are shown in `state`.
pub(crate) async fn until_hosts(server: &Server, ids: &[&str], state: &str) -> Value {
    eventually(&format!("{ids:?} are {state}"), async || {
        let status = server.client.get("status").await.ok();
        ids.iter().all(|id| host(&status, id) == Some(state)).then_some(status)
    })
    .await
}

/// How many turns the world has seen.
pub(crate) async fn actions(server: &Server) -> i64 {
    let metrics = server.client.get("run/metrics").await.ok();
    metrics["activity"]["deterministic_actions"].as_i64().unwrap()
}

/// Starts a run in a new world, as soon as a host is there to build it.
pub(crate) async fn start_run(client: &Client, run_id: &str) {
    let body = json!({"mode": "test", "run_id": run_id, "reset_world": true});
    eventually("a host owns a world", async || {
        (client.post("control/run/start", &body).await.status == 200).then_some(())
    })
    .await;
}
