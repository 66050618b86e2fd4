//! Visitors' events through the real server: batches of 500 over HTTP compared with plain batched inserts of
//! the same rows into the same engine, in turn and in one run; and how soon events that were sent are in the
//! answer of `kpi/rollups`.
//!
//! `cargo build --release --workspace --bins && cargo bench -p simops-tests --bench ingest`

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use simops_tests::postgres::PostgresServer;
use simops_tests::visits::{BATCH, PlainPostgres, PlainSqlite, batch, median, per_second};
use simops_tests::{Server, ServerBuilder};
use tokio::task::JoinSet;

/// Batches of a measurement.
const BATCHES: u64 = 200;
const CONNECTIONS: u64 = 4;
const ROUNDS: u64 = 5;
const SHOWN: usize = 50;
const WANTED: f64 = 0.40;
const WANTED_WITHIN: Duration = Duration::from_millis(20);

#[tokio::main]
async fn main() {
    let dir = tempfile::tempdir().unwrap();
    let postgres = PostgresServer::durable();
    let database = postgres.database();
    let builder = ServerBuilder::new(dir.path()).without_ingest_limits().env("SIMOPS_HOST", "none");
    let on_sqlite = builder.clone().start().await;
    let on_postgres = builder.env("DATABASE_URL", &database.url()).start().await;
    let plain = PlainSqlite::create(&dir.path().join("plain.db")).unwrap();
    let mut plain_postgres = PlainPostgres::create(&database.url()).await.unwrap();
    let client = Client::new();

    let (mut raw, mut sqlite) = (Vec::new(), Vec::new());
    let (mut raw_postgres, mut postgres) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let batches = round * BATCHES..(round + 1) * BATCHES;
        let bodies: Vec<_> = batches.clone().map(body).collect();
        let (mut spent, mut spent_postgres) = (Duration::ZERO, Duration::ZERO);
        for events in batches.map(|number| batch(today(), number)) {
            spent += plain.insert(&events).unwrap();
            spent_postgres += plain_postgres.insert(&events).await.unwrap();
        }
        raw.push(per_second(BATCHES, spent));
        raw_postgres.push(per_second(BATCHES, spent_postgres));
        sqlite.push(rate(&client, &on_sqlite, &bodies).await);
        postgres.push(rate(&client, &on_postgres, &bodies).await);
    }
    let on_engines = [("SQLite", raw, sqlite), ("Postgres", raw_postgres, postgres)];
    let ratios = on_engines.map(|(engine, raw, over_http)| {
        let (raw, over_http) = (median(raw), median(over_http));
        let ratio = over_http / raw;
        println!("{engine:<8} plain batched inserts {raw:>9.0} events/s");
        println!(
            "{engine:<8} over HTTP             {over_http:>9.0} events/s  {ratio:.2} of plain"
        );
        ratio
    });
    let seen = [
        shown(&client, &on_sqlite, "SQLite").await,
        shown(&client, &on_postgres, "Postgres").await,
    ];
    on_sqlite.terminate().await;
    on_postgres.terminate().await;
    let promised = ratios.into_iter().all(|ratio| ratio >= WANTED)
        && seen.into_iter().all(|seen| seen <= WANTED_WITHIN);
    assert!(promised, "slower than promised");
}

/// Today's midnight, as the server takes nothing that is old.
fn today() -> Timestamp {
    let now = Timestamp::now();
    now - SignedDuration::from_secs(now.as_second() % 86_400)
}

fn body(number: u64) -> String {
    let events: Vec<_> = batch(today(), number)
        .into_iter()
        .map(|event| {
            json!({
                "event_uid": event.uid,
                "event_name": event.kind.as_str(),
                "visitor_id": event.visitor_id,
                "session_id": event.session_id,
                "run_id": event.run_id,
                "surface": event.surface,
                "path": event.path,
                "referrer": event.referrer,
                "occurred_at": event.occurred_at,
            })
        })
        .collect();
    Value::from(events).to_string()
}

async fn send(client: &Client, url: &str, body: String) {
    let request = client.post(url).header(CONTENT_TYPE, "application/json").body(body);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
}

fn url(server: &Server) -> String {
    format!("{}/api/analytics/kpi/events", server.base)
}

/// Events per second, over a few connections at once.
async fn rate(client: &Client, server: &Server, bodies: &[String]) -> f64 {
    let begun = Instant::now();
    let mut senders = JoinSet::new();
    for part in bodies.chunks(usize::try_from(BATCHES / CONNECTIONS).unwrap()) {
        let (client, url, part) = (client.clone(), url(server), part.to_vec());
        senders.spawn(async move {
            for body in part {
                send(&client, &url, body).await;
            }
        });
    }
    senders.join_all().await;
    per_second(BATCHES, begun.elapsed())
}

/// From sending 1,000 events in two batches to the answer that counts them; the median.
async fn shown(client: &Client, server: &Server, name: &str) -> Duration {
    let mut times = Vec::new();
    let mut counted = total(server).await;
    for round in 0..SHOWN as u64 {
        let first = ROUNDS * BATCHES + 2 * round;
        let bodies = [body(first), body(first + 1)];
        let begun = Instant::now();
        for body in bodies {
            send(client, &url(server), body).await;
        }
        let now = total(server).await;
        times.push(begun.elapsed());
        assert_eq!(now - counted, 2 * BATCH.cast_signed());
        counted = now;
    }
    times.sort_unstable();
    let (median, slow) = (times[SHOWN / 2], times[SHOWN * 9 / 10]);
    println!("1,000 events sent and counted, {name:<8} p50 {median:>7.1?}  p90 {slow:>7.1?}");
    median
}

/// Events of the day, of the kinds that a rollup counts one by one or together.
async fn total(server: &Server) -> i64 {
    let request = server.client.request(Method::GET, "kpi/rollups?days=90");
    let answer = server.client.send(request).await.unwrap().ok();
    let day = &answer["items"][0];
    [
        "landing_views",
        "landing_run_clicks",
        "run_detail_views",
        "replay_starts",
        "replay_completions",
        "share_actions",
        "shared_link_opens",
        "onboarding_shown",
        "onboarding_completed",
        "onboarding_skipped",
        "onboarding_glossary_opened",
    ]
    .iter()
    .map(|field| day[field].as_i64().unwrap_or_else(|| panic!("{field} of {day}")))
    .sum()
}
