//! Several servers and workers on one Postgres.

mod together;

use std::path::Path;

use serde_json::Value;
use simops_tests::{Server, ServerBuilder};

/// A server without a world of its own.
pub(crate) fn server(dir: &Path, url: &str) -> ServerBuilder {
    ServerBuilder::new(dir).env("DATABASE_URL", url).env("SIMOPS_HOST", "none")
}

/// The state that a host is shown in.
pub(crate) fn host<'s>(status: &'s Value, id: &str) -> Option<&'s str> {
    let hosts = status["hosts"].as_array()?;
    hosts.iter().find(|host| host["id"] == id)?["state"].as_str()
}

/// How many turns the world has seen.
pub(crate) async fn actions(server: &Server) -> i64 {
    let metrics = server.client.get("run/metrics").await.ok();
    metrics["activity"]["deterministic_actions"].as_i64().unwrap()
}
