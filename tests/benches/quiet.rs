//! From a pause, and from a stop, to the moment at which every worker of three processes has confirmed
//! that it is paused, on one Postgres.
//!
//! `cargo build --release --workspace --bins && cargo bench -p simops-tests --bench quiet`

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::time::{Duration, Instant};

use serde_json::json;
use simops_tests::postgres::PostgresServer;
use simops_tests::{Server, ServerBuilder, WorkerProcess, eventually};

const ROUNDS: usize = 100;
const WANTED: Duration = Duration::from_millis(250);

#[tokio::main]
async fn main() {
    let dir = tempfile::tempdir().unwrap();
    let postgres = PostgresServer::durable();
    let url = postgres.url("postgres");
    let builder = ServerBuilder::new(dir.path()).env("DATABASE_URL", &url);
    let server = builder.env("SIMOPS_HOST", "none").start().await;
    let workers = ["a", "b", "c"].map(|id| WorkerProcess::start(dir.path(), &url, id));
    let reset = json!({"mode": "test", "run_id": "quiet", "reset_world": true});
    eventually("a host owns a world", async || {
        (server.client.post("control/run/start", &reset).await.status == 200).then_some(())
    })
    .await;
    let pause = rounds(&server, "pause", "paused", async |_| {
        server.client.post("control/resume", &json!({})).await.ok();
    });
    let pause = pause.await;
    let stop = rounds(&server, "run/stop", "idle", async |round| {
        let body = json!({"mode": "test", "run_id": format!("quiet-{round}")});
        server.client.post("control/run/start", &body).await.ok();
    });
    let stop = stop.await;
    println!("{ROUNDS} rounds; wanted: p99 under {WANTED:?}, seen by asking for the status");
    for worker in workers {
        worker.terminate().await;
    }
    assert!(pause < WANTED && stop < WANTED, "slower than promised");
}

/// Orders and lets go on again; the 99th percentile.
async fn rounds(server: &Server, order: &str, quiet: &str, go_on: impl AsyncFn(usize)) -> Duration {
    let mut took = Vec::new();
    for round in 0..ROUNDS {
        until_all(server, "running", 3).await;
        let asked = Instant::now();
        server.client.post(&format!("control/{order}"), &json!({})).await.ok();
        until_all(server, quiet, 3).await;
        took.push(asked.elapsed());
        go_on(round).await;
    }
    took.sort();
    let share = |percent: usize| took[(took.len() * percent).div_ceil(100) - 1];
    println!("{order:<8} to three workers quiet  p50 {:>7.1?}  p99 {:>7.1?}", share(50), share(99));
    share(99)
}

/// Asks again and again, without a pause, until all hosts are shown in a state.
async fn until_all(server: &Server, state: &str, hosts: usize) {
    loop {
        let status = server.client.get("status").await.ok();
        let shown = status["hosts"].as_array().unwrap();
        if shown.len() == hosts && shown.iter().all(|host| host["state"] == state) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
