//! From a pause to the moment at which every worker of three processes has confirmed that it holds
//! still, on one Postgres.
//!
//! `cargo build --release --workspace --bins && cargo bench -p simops-tests --bench quiet`

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::time::{Duration, Instant};

use serde_json::json;
use simops_tests::postgres::PostgresServer;
use simops_tests::{ServerBuilder, WorkerProcess, eventually};

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
    let body = json!({"mode": "test", "run_id": "quiet", "reset_world": true});
    eventually("a host owns a world", Duration::from_secs(20), async || {
        (server.client.post("control/run/start", &body).await.status == 200).then_some(())
    })
    .await;
    let mut took = Vec::new();
    for _ in 0..ROUNDS {
        until_all(&server, "running", 3).await;
        let asked = Instant::now();
        server.client.post("control/pause", &json!({})).await.ok();
        until_all(&server, "paused", 3).await;
        took.push(asked.elapsed());
        server.client.post("control/resume", &json!({})).await.ok();
    }
    took.sort();
    let share = |percent: usize| took[(took.len() * percent).div_ceil(100) - 1];
    println!("pause to three workers quiet  p50 {:>7.1?}  p99 {:>7.1?}", share(50), share(99));
    println!("{ROUNDS} rounds; wanted: p99 under {WANTED:?}, seen by asking for the status");
    for worker in workers {
        worker.terminate().await;
    }
    assert!(share(99) < WANTED, "slower than promised");
}

/// Asks again and again, without a pause, until all hosts are shown in a state.
async fn until_all(server: &simops_tests::Server, state: &str, hosts: usize) {
    loop {
        let status = server.client.get("status").await.ok();
        let shown = status["hosts"].as_array().unwrap();
        if shown.len() == hosts && shown.iter().all(|host| host["state"] == state) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
