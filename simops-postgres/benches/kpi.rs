//! Visitors' events beside a plain batched `INSERT … SELECT FROM unnest` of the same rows, by one
//! connection each, into an empty day and into one with a million events: in one run, on one durable
//! Postgres.
//!
//! `cargo bench -p simops-postgres --bench kpi`

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use simops::kpi::KpiEvent;
use simops::store::KpiStore;
use simops_postgres::PostgresStore;
use simops_tests::postgres::PostgresServer;
use simops_tests::visits::{BATCH, batch, day, median, per_second};
use sqlx::Connection;
use sqlx::postgres::PgConnection;
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
    // As simops has it: a number, and the uid once.
    database.sql("CREATE TABLE plain (LIKE kpi_events INCLUDING ALL)");
    let mut connection = PgConnection::connect(&database.url()).await.unwrap();

    // In turns, so that a slow moment of the machine hits both.
    let (mut raw, mut empty) = (Vec::new(), Vec::new());
    let (mut later, mut full) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        raw.push(plain_rate(&mut connection, round * BATCHES).await);
        let after = i64::try_from(round).unwrap();
        empty.push(rate(&store, after, round * BATCHES).await);
    }
    let mut sent = ROUNDS * BATCHES;
    while sent * BATCH < EVENTS {
        rate(&store, 0, sent).await;
        sent += BATCHES;
    }
    for _ in 0..ROUNDS {
        later.push(plain_rate(&mut connection, sent).await);
        full.push(rate(&store, 0, sent).await);
        sent += BATCHES;
    }
    let (raw, empty, later, full) = (median(raw), median(empty), median(later), median(full));
    println!("plain batched unnest       {raw:>9.0} events/s, beside the full day {later:.0}");
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

async fn plain_rate(connection: &mut PgConnection, first: u64) -> f64 {
    let mut spent = Duration::ZERO;
    for number in first..first + BATCHES {
        let batch = batch(day(0), number);
        let begun = Instant::now();
        insert(connection, &batch).await;
        spent += begun.elapsed();
    }
    per_second(BATCHES, spent)
}

async fn insert(connection: &mut PgConnection, events: &[KpiEvent]) {
    let text =
        |of: fn(&KpiEvent) -> Option<&str>| events.iter().map(of).collect::<Vec<Option<&str>>>();
    let seconds = events.iter().map(|event| event.occurred_at.as_second()).collect::<Vec<_>>();
    sqlx::query(
        "INSERT INTO plain (uid, kind, visitor_id, session_id, run_id, surface, path, referrer, \
             occurred_at, received_at) \
         SELECT uid, kind, visitor_id, session_id, run_id, surface, path, referrer, \
             to_timestamp(at), to_timestamp(at) \
         FROM unnest($1::uuid[], $2::smallint[], $3::text[], $4::text[], $5::text[], $6::text[], \
             $7::text[], $8::text[], $9::bigint[]) AS new (uid, kind, visitor_id, session_id, \
             run_id, surface, path, referrer, at)",
    )
    .bind(events.iter().map(|event| event.uid).collect::<Vec<_>>())
    .bind(events.iter().map(|event| i16::try_from(event.kind.code()).unwrap()).collect::<Vec<_>>())
    .bind(text(|event| Some(&event.visitor_id)))
    .bind(text(|event| event.session_id.as_deref()))
    .bind(text(|event| event.run_id.as_deref()))
    .bind(text(|event| event.surface.as_deref()))
    .bind(text(|event| event.path.as_deref()))
    .bind(text(|event| event.referrer.as_deref()))
    .bind(seconds)
    .execute(connection)
    .await
    .unwrap();
}
