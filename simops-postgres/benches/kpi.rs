//! Visitor events compared with a plain batched `INSERT … SELECT FROM unnest` of the same rows, by one
//! connection each, into an empty day and into one with a million events: in one run, on one durable
//! Postgres.
//!
//! `cargo bench -p simops-postgres --bench kpi`

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use simops::store::KpiStore;
use simops_postgres::PostgresStore;
use simops_tests::postgres::PostgresServer;
use simops_tests::visits::{BATCH, PlainPostgres, batch, day, median, per_second};
use tokio::task::JoinSet;

/// Batches of a measurement.
const BATCHES: u64 = 200;
/// Callers at once, as connections of browsers' proxies are.
const CALLERS: u64 = 4;
const ROUNDS: u64 = 3;
const EVENTS: u64 = 1_000_000;
const WANTED: f64 = 0.40;
const WANTED_OF_EMPTY: f64 = 0.90;

#[tokio::main]
async fn main() {
    let server = PostgresServer::durable();
    let database = server.database();
    let store = Arc::new(PostgresStore::open(&database.url()).await.unwrap());
    let mut plain = PlainPostgres::create(&database.url()).await.unwrap();

    // In turns, so that a slow moment of the machine hits both.
    let (mut raw, mut empty) = (Vec::new(), Vec::new());
    let (mut later, mut full) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        raw.push(plain_rate(&mut plain, round * BATCHES).await);
        let after = i64::try_from(round).unwrap();
        empty.push(rate(&store, after, round * BATCHES).await);
    }
    let mut sent = ROUNDS * BATCHES;
    while sent * BATCH < EVENTS {
        rate(&store, 0, sent).await;
        sent += BATCHES;
    }
    for _ in 0..ROUNDS {
        later.push(plain_rate(&mut plain, sent).await);
        full.push(rate(&store, 0, sent).await);
        sent += BATCHES;
    }
    let (raw, empty, later, full) = (median(raw), median(empty), median(later), median(full));
    println!("plain batched unnest       {raw:>9.0} events/s, next to the full day {later:.0}");
    println!("into an empty day          {empty:>9.0} events/s  {:.2} of plain", empty / raw);
    println!(
        "with {:>10} in the day {full:>9.0} events/s  {:.2} of plain, {:.2} of empty",
        sent * BATCH,
        full / later,
        full / empty
    );
    let promised = full / later >= WANTED && full / empty >= WANTED_OF_EMPTY;
    assert!(promised, "slower than promised");
}

/// Events per second into a day, a few callers at once.
async fn rate(store: &Arc<PostgresStore>, after: i64, first: u64) -> f64 {
    let batches: Vec<_> =
        (first..first + BATCHES).map(|number| batch(day(after), number)).collect();
    let begun = Instant::now();
    let mut callers = JoinSet::new();
    for part in batches.chunks(usize::try_from(BATCHES / CALLERS).unwrap()) {
        let (store, part) = (Arc::clone(store), part.to_vec());
        callers.spawn(async move {
            for batch in part {
                store.record_kpi(&batch).await.unwrap();
            }
        });
    }
    callers.join_all().await;
    per_second(BATCHES, begun.elapsed())
}

async fn plain_rate(plain: &mut PlainPostgres, first: u64) -> f64 {
    let mut spent = Duration::ZERO;
    for number in first..first + BATCHES {
        let batch = batch(day(0), number);
        spent += plain.insert(&batch).await.unwrap();
    }
    per_second(BATCHES, spent)
}
