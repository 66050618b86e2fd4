//! Pauses while 64 clients run the slowest reads in a loop, on a long event log.
//!
//! `cargo build --release --workspace --bins && cargo bench -p simops-tests --bench reads`;
//! 5,000,000 events without `EVENTS`, both stores without `STORE` (`sqlite`, `postgres`).

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use jiff::{Timestamp, ToSpan};
use reqwest::Method;
use serde_json::json;
use simops::clock::day_of;
use simops_tests::history::{fill_postgres, fill_sqlite};
use simops_tests::postgres::PostgresServer;
use simops_tests::{Client, Server, ServerBuilder};
use tokio::task::JoinSet;

/// Once made the store unavailable.
const WINDOW: &str = "events?after=2024-01-01T00:00:00Z";
const CLIENTS: usize = 64;
const PAUSES: usize = 200;
const WANTED: Duration = Duration::from_millis(250);
/// When clients that leave do so.
const LEAVE_AFTER: Duration = Duration::from_millis(100);

/// Reads whose cost was seen to grow with the log.
fn reads() -> Vec<String> {
    let today = day_of(Timestamp::now());
    let first = today.checked_sub(13.days()).unwrap();
    let mut reads = vec![format!("activity?first_day={first}&last_day={today}")];
    reads.extend(
        [WINDOW, "run/metrics?hours_fallback=336", "digest/evidence?lookback_days=14"]
            .map(String::from),
    );
    for filter in ["", "&type=rare", "&run_id=run-1", "&run_id=run-1&type=rare"] {
        reads.push(format!("events?after=2024-01-01T00:00:00Z{filter}"));
        reads.push(format!("events?until=2024-01-01T00:00:00Z{filter}"));
        reads.push(format!("events?cursor=1000000{filter}"));
    }
    reads
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let number = |text: String| text.parse().unwrap();
    let events = std::env::var("EVENTS").map_or(5_000_000, number);
    let wanted = std::env::var("STORE").ok();
    let is_wanted = |store: &str| wanted.as_ref().is_none_or(|wanted| wanted == store);
    let dir = tempfile::tempdir().unwrap();
    let mut slowest = Duration::ZERO;
    if is_wanted("sqlite") {
        let file = dir.path().join("simops.db");
        let url = format!("sqlite://{}", file.display());
        start(dir.path(), &url).await.terminate().await;
        fill_sqlite(&file, events);
        println!("SQLite, {events} events");
        slowest = slowest.max(measure(start(dir.path(), &url).await).await);
    }
    if is_wanted("postgres") {
        let postgres = PostgresServer::durable();
        let database = postgres.database();
        start(dir.path(), &database.url()).await.terminate().await;
        fill_postgres(&database, events);
        println!("Postgres, {events} events");
        slowest = slowest.max(measure(start(dir.path(), &database.url()).await).await);
    }
    println!("wanted: p99 under {WANTED:?}");
    assert!(slowest < WANTED, "slower than promised");
}

async fn start(dir: &Path, database: &str) -> Server {
    let builder = ServerBuilder::new(dir).env("DATABASE_URL", database);
    builder.env("SIMOPS_HOST", "none").start().await
}

/// The longest 99th percentile while clients read.
async fn measure(server: Server) -> Duration {
    let mut worst = (Duration::ZERO, String::new());
    for read in reads() {
        let asked = Instant::now();
        let status = server.client.get(&read).await.status;
        let took = asked.elapsed();
        println!("  {took:>9.1?}  {status}  GET {read}");
        worst = worst.max((took, read));
    }
    // No run is open: its metrics would be read from sums.
    pauses(&server.client, "no readers").await;
    let mut slowest = Duration::ZERO;
    for (read, leave_after) in
        [(WINDOW, None), (worst.1.as_str(), None), (worst.1.as_str(), Some(LEAVE_AFTER))]
    {
        let answers = Arc::new(AtomicUsize::new(0));
        let readers = readers(&server.client, read, leave_after, &answers);
        // The first answers, or the first clients that leave.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let leave = if leave_after.is_some() { ", leaving after 100 ms" } else { "" };
        let what = format!("{CLIENTS} × GET {read}{leave}");
        slowest = slowest.max(pauses(&server.client, &what).await);
        println!("    {} reads answered meanwhile", answers.load(Ordering::Relaxed));
        drop(readers);
    }
    server.terminate().await;
    slowest
}

fn readers(
    client: &Client,
    path: &str,
    leave_after: Option<Duration>,
    answers: &Arc<AtomicUsize>,
) -> JoinSet<()> {
    let mut readers = JoinSet::new();
    for _ in 0..CLIENTS {
        let (client, path, answers) = (client.clone(), path.to_owned(), Arc::clone(answers));
        readers.spawn(async move {
            loop {
                let mut read = client.request(Method::GET, &path);
                if let Some(limit) = leave_after {
                    read = read.timeout(limit);
                }
                if client.send(read).await.is_ok_and(|answer| answer.status == 200) {
                    answers.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    readers
}

/// Pauses again and again; the 99th percentile of the pauses.
async fn pauses(client: &Client, while_reading: &str) -> Duration {
    let mut took = Vec::new();
    for _ in 0..PAUSES {
        let asked = Instant::now();
        client.post("control/pause", &json!({})).await.ok();
        took.push(asked.elapsed());
        client.patch(&json!({ "SIMULATION_PAUSED": false })).await.ok();
    }
    took.sort_unstable();
    let share = |percent: usize| took[(took.len() * percent).div_ceil(100) - 1];
    let (p50, p99, max) = (share(50), share(99), share(100));
    println!("  pause: p50 {p50:>7.1?}  p99 {p99:>7.1?}  max {max:>7.1?}  {while_reading}");
    p99
}
