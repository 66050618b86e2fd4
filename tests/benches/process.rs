//! The server as its user meets it: time from process start to ready, idle memory, and how long a
//! pause takes to reach the in-process host. Needs `cargo build --release -p simops-server`.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use simops_tests::{Server, ServerBuilder};

const STARTS: usize = 20;
const PAUSES: usize = 200;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let dir = tempfile::tempdir().expect("a folder");
    let builder = ServerBuilder::new(dir.path()).env("SIMOPS_WORLD_SPEED", "10");
    builder.start().await.kill().await;

    let mut ready = Vec::new();
    for _ in 0..STARTS {
        let began = Instant::now();
        let server = builder.start().await;
        ready.push(began.elapsed());
        server.kill().await;
    }
    show("process start to readyz, existing database", &mut ready);

    let server = builder.start().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    println!("idle memory: {} KiB resident", resident(&server));

    server.client.post("control/run/start", &json!({"mode": "test"})).await.ok();
    server.until_state("running").await;
    let (mut answered, mut confirmed) = (Vec::new(), Vec::new());
    for _ in 0..PAUSES {
        let began = Instant::now();
        server.client.post("control/pause", &json!({})).await.ok();
        answered.push(began.elapsed());
        until(&server, "paused").await;
        confirmed.push(began.elapsed());
        server.client.post("control/resume", &json!({})).await.ok();
        until(&server, "running").await;
    }
    show("pause sent to answer", &mut answered);
    show("pause sent to `paused` seen over HTTP", &mut confirmed);
    println!("memory while a world runs: {} KiB resident", resident(&server));
    server.terminate().await;
}

async fn until(server: &Server, state: &str) {
    loop {
        let request = server.client.request(Method::GET, "status");
        let status = server.client.send(request).await.expect("status").body;
        if status["run_state"] == state {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn resident(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("/proc");
    let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("VmRSS");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

fn show(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    println!("{what}: p50 {:?}, p99 {:?}, max {:?} of {}", at(50), at(99), at(100), times.len());
}
