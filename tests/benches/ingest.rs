//! Visitors' events through the real server: batches of 500 over HTTP beside plain batched inserts of
//! the same rows into SQLite, in turn and in one run; and how soon events that were sent are in the
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
use simops_tests::visits::{BATCH, PlainSqlite, batch, median, per_second};
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
    let builder =
        ServerBuilder::new(dir.path()).env("KPI_EVENT_RATE_LIMIT", "0").env("SIMOPS_HOST", "none");
    let on_sqlite = builder.clone().start().await;
    let on_postgres = builder.env("DATABASE_URL", &database.url()).start().await;
    let plain = PlainSqlite::create(&dir.path().join("plain.db")).unwrap();
    let client = Client::new();

    let (mut raw, mut sqlite, mut postgres) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let first = round * BATCHES;
        let bodies: Vec<_> = (first..first + BATCHES).map(body).collect();
        raw.push(plain_rate(&plain, first));
        sqlite.push(rate(&client, &on_sqlite, &bodies).await);
        postgres.push(rate(&client, &on_postgres, &bodies).await);
    }
    let (raw, sqlite, postgres) = (median(raw), median(sqlite), median(postgres));
    println!("plain batched inserts into SQLite {raw:>9.0} events/s");
    println!(
        "over HTTP, on SQLite              {sqlite:>9.0} events/s  {:.2} of plain",
        sqlite / raw
    );
    println!("over HTTP, on Postgres            {postgres:>9.0} events/s");
    let seen = [
        shown(&client, &on_sqlite, "SQLite").await,
        shown(&client, &on_postgres, "Postgres").await,
    ];
    on_sqlite.terminate().await;
    on_postgres.terminate().await;
    let promised = sqlite / raw >= WANTED && seen.into_iter().all(|seen| seen <= WANTED_WITHIN);
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

fn plain_rate(plain: &PlainSqlite, first: u64) -> f64 {
    let numbers = first..first + BATCHES;
    let spent = numbers.map(|number| plain.insert(&batch(today(), number)).unwrap()).sum();
    per_second(BATCHES, spent)
}
