//! Events and ledger rows compared with a plain batched `INSERT … SELECT FROM unnest` of the same rows into
//! a table of the same columns and indexes, by the same number of connections: in turn, in one run, on
//! one durable Postgres.
//!
//! `cargo bench -p simops-postgres --bench writes`

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use simops::AgentId;
use simops::clock::day_of;
use simops::event::{NewEvent, RuntimeMode};
use simops::store::{EventStore, UsageStore};
use simops::usage::{NanoUsd, UsageRow};
use simops_postgres::PostgresStore;
use simops_tests::postgres::PostgresServer;
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

const BATCH: usize = 500;
const ROUND: Duration = Duration::from_secs(3);
const ROUNDS: usize = 5;
const WANTED: f64 = 0.50;

#[tokio::main]
async fn main() {
    let server = PostgresServer::durable();
    let database = server.database();
    let store = Arc::new(PostgresStore::open(&database.url()).await.unwrap());
    database.sql(
        "CREATE TABLE plain_events (LIKE events INCLUDING ALL); \
         CREATE TABLE plain_usage (LIKE usage INCLUDING ALL)",
    );
    let url = database.url();
    let events = compare(
        "events",
        || measure(2, || plain(url.clone(), Plain::Events)),
        // As many callers as keep both lanes busy.
        || measure(4, || appends(Arc::clone(&store))),
    );
    let events = events.await;
    let usage = compare(
        "ledger rows",
        || measure(1, || plain(url.clone(), Plain::Usage)),
        || measure(2, || records(Arc::clone(&store))),
    );
    let usage = usage.await;
    assert!(events >= WANTED && usage >= WANTED, "slower than promised");
}

/// Medians of rounds in turn.
async fn compare<P, S>(what: &str, plain: impl Fn() -> P, simops: impl Fn() -> S) -> f64
where
    P: Future<Output = f64>,
    S: Future<Output = f64>,
{
    let (mut baseline, mut ours, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (plain, simops) = (plain().await, simops().await);
        baseline.push(plain);
        ours.push(simops);
        ratios.push(simops / plain);
    }
    let ratio = median(ratios);
    println!("plain unnest, {what:<12} {:>9.0} rows/s", median(baseline));
    println!("simops, {what:<18} {:>9.0} rows/s", median(ours));
    println!("simops / plain             {ratio:>9.2} (wanted: at least {WANTED:.2})");
    ratio
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Rows per second of `callers` that each do their batches one after the other.
async fn measure<F>(callers: usize, batches: impl Fn() -> F) -> f64
where
    F: Future<Output = usize> + Send + 'static,
{
    let begun = Instant::now();
    let callers: Vec<_> = (0..callers).map(|_| tokio::spawn(batches())).collect();
    let mut rows = 0;
    for caller in callers {
        rows += caller.await.unwrap();
    }
    #[expect(clippy::cast_precision_loss, reason = "only for showing")]
    let rows = rows as f64;
    rows / begun.elapsed().as_secs_f64()
}

async fn appends(store: Arc<PostgresStore>) -> usize {
    let (begun, mut rows) = (Instant::now(), 0);
    while begun.elapsed() < ROUND {
        let events: Vec<_> = (0..BATCH).map(event).collect();
        store.append(&events).await.unwrap();
        rows += BATCH;
    }
    rows
}

async fn records(store: Arc<PostgresStore>) -> usize {
    let (begun, mut rows) = (Instant::now(), 0);
    while begun.elapsed() < ROUND {
        let calls: Vec<_> = (0..BATCH).map(call).collect();
        store.record_usage(&calls).await.unwrap();
        rows += BATCH;
    }
    rows
}

#[derive(Clone, Copy)]
enum Plain {
    Events,
    Usage,
}

async fn plain(url: String, what: Plain) -> usize {
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let (begun, mut rows) = (Instant::now(), 0);
    while begun.elapsed() < ROUND {
        match what {
            Plain::Events => plain_events(&mut connection).await,
            Plain::Usage => plain_usage(&mut connection).await,
        }
        rows += BATCH;
    }
    rows
}

async fn plain_events(connection: &mut PgConnection) {
    let events: Vec<_> = (0..BATCH).map(event).collect();
    let metadata = |event: &NewEvent| serde_json::to_string(&event.metadata).unwrap();
    sqlx::query(
        "INSERT INTO plain_events (uid, run_id, agent_id, event_type, mode, description, \
             metadata, created_at, category, enforcement) \
         SELECT uid, run_id, agent_id, event_type, mode, description, metadata::json, \
             to_timestamp(created_at / 1000000.0), '', false \
         FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], \
             $7::text[], $8::bigint[]) AS new (uid, run_id, agent_id, event_type, mode, \
             description, metadata, created_at)",
    )
    .bind(events.iter().map(|event| event.uid).collect::<Vec<_>>())
    .bind(events.iter().map(|event| event.run_id.as_deref()).collect::<Vec<_>>())
    .bind(
        events
            .iter()
            .map(|event| event.agent_id.as_ref().and_then(AgentId::number))
            .collect::<Vec<_>>(),
    )
    .bind(events.iter().map(|event| event.event_type.as_str()).collect::<Vec<_>>())
    .bind(events.iter().map(|_| "checkpoint").collect::<Vec<_>>())
    .bind(events.iter().map(|event| event.description.as_str()).collect::<Vec<_>>())
    .bind(events.iter().map(metadata).collect::<Vec<_>>())
    .bind(events.iter().map(|event| event.created_at.as_microsecond()).collect::<Vec<_>>())
    .execute(connection)
    .await
    .unwrap();
}

async fn plain_usage(connection: &mut PgConnection) {
    let calls: Vec<_> = (0..BATCH).map(call).collect();
    sqlx::query(
        "INSERT INTO plain_usage (id, day, run_id, agent_id, checkpoint, provider, \
             model_requested, model_resolved, input_tokens, cached_input_tokens, output_tokens, \
             reasoning_tokens, cost, priced, success, fallback_used, latency_ms, error_type, \
             created_at) \
         SELECT id, day::date, run_id, 7, 1, provider, model, model, input, 0, output, 0, cost, \
             true, true, false, 900, NULL, to_timestamp(created_at / 1000000.0) \
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], \
             $7::bigint[], $8::bigint[], $9::bigint[]) AS new (id, day, run_id, provider, model, \
             input, output, cost, created_at)",
    )
    .bind(calls.iter().map(|call| call.id).collect::<Vec<_>>())
    .bind(calls.iter().map(|call| call.day.to_string()).collect::<Vec<_>>())
    .bind(calls.iter().map(|call| call.run_id.as_deref()).collect::<Vec<_>>())
    .bind(calls.iter().map(|call| call.provider.as_str()).collect::<Vec<_>>())
    .bind(calls.iter().map(|call| call.model_requested.as_str()).collect::<Vec<_>>())
    .bind(calls.iter().map(|call| call.input_tokens).collect::<Vec<_>>())
    .bind(calls.iter().map(|call| call.output_tokens).collect::<Vec<_>>())
    .bind(calls.iter().map(|call| call.cost.0).collect::<Vec<_>>())
    .bind(calls.iter().map(|call| call.created_at.as_microsecond()).collect::<Vec<_>>())
    .execute(connection)
    .await
    .unwrap();
}

fn event(number: usize) -> NewEvent {
    let kinds = ["work", "trade", "forum_message", "vote_cast"];
    let agent = i64::try_from(number % 50).unwrap();
    NewEvent::new(kinds[number % kinds.len()], "something of an ordinary length", Timestamp::now())
        .in_run(Some("run"))
        .of_agent(agent)
        .with("price", 3)
        .as_action(RuntimeMode::Checkpoint)
}

fn call(_: usize) -> UsageRow {
    let now = Timestamp::now();
    UsageRow {
        id: Uuid::now_v7(),
        day: day_of(now),
        run_id: Some("run".to_owned()),
        agent_id: Some(7.into()),
        checkpoint: Some(1),
        provider: "groq".to_owned(),
        model_requested: "llama-3.3-70b-versatile".to_owned(),
        model_resolved: Some("llama-3.3-70b-versatile".to_owned()),
        input_tokens: 900,
        cached_input_tokens: 0,
        output_tokens: 90,
        reasoning_tokens: 0,
        cost: NanoUsd(602_000),
        priced: true,
        success: true,
        sent: true,
        over_reservation: false,
        fallback_used: false,
        latency_ms: 900,
        error_type: None,
        created_at: now,
    }
}
