//! How long a pause takes while 32 workers commit turns in one world as fast as they can, with a
//! network that delays everything by 2.5 ms each way: compared with a pause while no turns are taken,
//! in the same run.
//!
//! `cargo bench -p simops-postgres --bench turns`

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use simops::store::RunStore;
use simops_postgres::{PostgresOptions, PostgresStore};
use simops_tests::network::{Network, Proxy};
use simops_tests::postgres::PostgresServer;
use simops_tests::turns::{Operator, Turns};

const WORKERS: usize = 32;
const PAUSES: usize = 100;
const DELAY: Duration = Duration::from_micros(2_500);
const WANTED: Duration = Duration::from_millis(400);

#[tokio::main]
async fn main() {
    let server = PostgresServer::durable();
    let database = server.database();
    let proxy = Proxy::before(server.port()).await;
    let url = database.url_at(proxy.port());
    let operator = Operator::of_new_run(open(&url, 10).await).await;
    // Each worker is a process with a pool.
    let mut workers: Vec<Arc<dyn RunStore>> = Vec::new();
    for _ in 0..WORKERS {
        workers.push(open(&url, 2).await);
    }
    proxy.set(Network::Delayed(DELAY));
    pauses(&operator, "no turns").await;
    let turns = Turns::start(workers);
    let began = Instant::now();
    let p99 = pauses(&operator, "32 workers").await;
    let rate = turns.committed() as f64 / began.elapsed().as_secs_f64();
    println!("{rate:.1} turns/s; wanted: p99 under {WANTED:?}, none refused");
    assert!(p99 < WANTED, "slower than promised");
}

async fn open(url: &str, max_connections: u32) -> Arc<PostgresStore> {
    let options = PostgresOptions { max_connections, ..PostgresOptions::default() };
    Arc::new(PostgresStore::open_with(url, options).await.unwrap())
}

/// Pauses after a tenth of a second of turns each; the 99th percentile.
async fn pauses(operator: &Operator, during: &str) -> Duration {
    let mut took = Vec::new();
    for _ in 0..PAUSES {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let began = Instant::now();
        operator.pause().await;
        took.push(began.elapsed());
        operator.resume().await;
    }
    took.sort_unstable();
    let share = |percent: usize| took[(took.len() * percent).div_ceil(100) - 1];
    println!(
        "{during:<12} pause p50 {:>7.1?}  p99 {:>7.1?}  max {:>7.1?}",
        share(50),
        share(99),
        share(100)
    );
    share(99)
}
