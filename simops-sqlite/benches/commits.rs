//! Durable writes compared with plain rusqlite, which syncs the disk once per write: in one run, on the
//! disk of the temporary folder.
//!
//! `cargo bench -p simops-sqlite --bench commits`

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use simops::event::NewEvent;
use simops::store::{ControlStore, EventStore};
use simops::{Clock, SystemClock};
use simops_sqlite::SqliteStore;

const ROUND: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let plain = plain_rusqlite(&folder.path().join("plain.db"));
    println!("plain rusqlite, 1 thread   {plain:>9.0} durable writes/s");
    let url = format!("sqlite://{}", folder.path().join("simops.db").display());
    let store = Arc::new(SqliteStore::open(&url).await.unwrap());
    for tasks in [1, 32, 128] {
        let rate = measure(tasks, &store, Call::Append).await;
        println!("append, {tasks:>3} tasks          {rate:>9.0} durable writes/s");
    }
    for tasks in [1, 32] {
        let rate = measure(tasks, &store, Call::Load).await;
        println!("load, {tasks:>3} tasks            {rate:>9.0} reads/s");
    }
}

#[derive(Clone, Copy)]
enum Call {
    Append,
    Load,
}

async fn call(store: &SqliteStore, call: Call) {
    match call {
        Call::Append => store.append(&[tick()]).await.unwrap(),
        Call::Load => drop(store.load().await.unwrap()),
    }
}

fn tick() -> NewEvent {
    NewEvent::new("tick", "something of an ordinary length happened", SystemClock.now())
        .in_run(Some("run"))
        .with("price", 3)
}

fn plain_rusqlite(path: &Path) -> f64 {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
             CREATE TABLE events (id INTEGER PRIMARY KEY, description TEXT)",
        )
        .unwrap();
    let mut insert = connection.prepare("INSERT INTO events (description) VALUES (?1)").unwrap();
    let (started, mut writes) = (Instant::now(), 0);
    while started.elapsed() < ROUND {
        insert.execute(["something of an ordinary length happened"]).unwrap();
        writes += 1;
    }
    f64::from(writes) / started.elapsed().as_secs_f64()
}

/// Calls per second of `tasks` that each call again as soon as they are answered.
async fn measure(tasks: usize, store: &Arc<SqliteStore>, what: Call) -> f64 {
    let started = Instant::now();
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..tasks {
        let store = Arc::clone(store);
        callers.spawn(async move {
            let mut calls = 0_u32;
            while started.elapsed() < ROUND {
                call(&store, what).await;
                calls += 1;
            }
            calls
        });
    }
    let calls: u32 = callers.join_all().await.into_iter().sum();
    f64::from(calls) / started.elapsed().as_secs_f64()
}
