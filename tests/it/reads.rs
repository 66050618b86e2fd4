//! Operators keep control while many clients ask for slow reads and leave before the answer.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use simops_tests::history::{fill_postgres, fill_sqlite};
use simops_tests::postgres::PostgresServer;
use simops_tests::{Client, Server, ServerBuilder, eventually};
use tokio::task::JoinSet;

const CLIENTS: usize = 64;
const EVENTS: u32 = 200_000;
/// Counts all events and model calls of two weeks.
const SLOW: &str = "run/metrics?hours_fallback=336";

/// Clients that ask for a slow read again and again, and leave soon.
struct Leavers {
    left: Arc<AtomicUsize>,
    _clients: JoinSet<()>,
}

impl Leavers {
    fn start(client: &Client) -> Self {
        let (left, mut clients) = (Arc::new(AtomicUsize::new(0)), JoinSet::new());
        for _ in 0..CLIENTS {
            let (client, left) = (client.clone(), Arc::clone(&left));
            clients.spawn(async move {
                loop {
                    let read = client.request(Method::GET, SLOW);
                    if client.send(read.timeout(Duration::from_millis(100))).await.is_err() {
                        left.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        Self { left, _clients: clients }
    }

    async fn have_left(&self, count: usize) {
        eventually("clients leave before their answers", async || {
            (self.left.load(Ordering::Relaxed) >= count).then_some(())
        })
        .await;
    }
}

async fn server(dir: &Path, database: &str) -> Server {
    let builder = ServerBuilder::new(dir).env("DATABASE_URL", database);
    builder.env("SIMOPS_HOST", "none").start().await
}

async fn commands(server: &Server) {
    for _ in 0..5 {
        for command in ["pause", "degrade", "degrade/clear"] {
            server.client.post(&format!("control/{command}"), &json!({})).await.ok();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_pass_while_clients_leave_slow_reads_on_sqlite() {
    let dir = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}", dir.path().join("simops.db").display());
    server(dir.path(), &database).await.terminate().await;
    fill_sqlite(&dir.path().join("simops.db"), EVENTS);
    let server = server(dir.path(), &database).await;
    let leavers = Leavers::start(&server.client);
    leavers.have_left(CLIENTS).await;
    commands(&server).await;
    server.client.get("status").await.ok();
    drop(leavers);
    eventually("other reads are answered again", async || {
        (server.client.get(SLOW).await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_pass_while_clients_leave_stuck_reads_on_postgres() {
    let dir = tempfile::tempdir().unwrap();
    let database = PostgresServer::shared().database();
    server(dir.path(), &database.url()).await.terminate().await;
    fill_postgres(&database, EVENTS);
    let server = server(dir.path(), &database.url()).await;
    // No read of model calls ends by itself.
    let holder = database.hold("usage").await;
    let leavers = Leavers::start(&server.client);
    leavers.have_left(2 * CLIENTS).await;
    commands(&server).await;
    drop(leavers);
    eventually("no statement of a client that left runs at the server", async || {
        let running = database.sql(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
             AND application_name = 'simops' AND state = 'active'",
        );
        (running.trim() == "0").then_some(())
    })
    .await;
    drop(holder);
    server.client.get(SLOW).await.ok();
}
