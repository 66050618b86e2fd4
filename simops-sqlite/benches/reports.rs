//! A baseline and a digest over a long history, compared with one plain count of all of it: what they read
//! does not grow with what lies outside of their windows, and neither does their memory.
//!
//! `cargo bench -p simops-sqlite --bench reports [-- EVENTS]`; 10,000,000 without a number.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;
use simops::clock::day_of;
use simops::control::Environment;
use simops::event::{NewEvent, RuntimeMode};
use simops::ops::{BaselineOptions, Caller, DigestOptions, Ops, OpsOptions};
use simops::progress::NO_PROGRESS;
use simops::store::{EventStore, UsageStore};
use simops::usage::{NanoUsd, UsageRow};
use simops::{Clock, SystemClock};
use simops_sqlite::SqliteStore;
use uuid::Uuid;

const EVENTS: i64 = 10_000_000;
const BATCH: i64 = 50_000;
const DAYS: i64 = 30;
const TYPES: [&str; 6] = ["work", "trade", "forum_post", "vote_cast", "proposal_created", "rest"];
const ROUNDS: usize = 5;

#[tokio::main]
async fn main() {
    let count = std::env::args().skip(1).find_map(|text| text.parse().ok()).unwrap_or(EVENTS);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("simops.db");
    let store = Arc::new(SqliteStore::open(&format!("sqlite://{}", path.display())).await.unwrap());
    let began = Instant::now();
    fill(&store, count).await;
    println!("{count} events of {DAYS} days appended in {:.0} s", began.elapsed().as_secs_f64());

    let output_folder = folder.path().join("output");
    let options = OpsOptions { output_folder, ..OpsOptions::of(Environment::Development) };
    let ops = Ops::new(store, Arc::new(SystemClock), options);
    let windows = BaselineOptions {
        windows: Some(24),
        window_minutes: Some(5),
        ..BaselineOptions::default()
    };
    let draft = DigestOptions { allow_duplicate_anchor: Some(true), ..DigestOptions::default() };
    let (mut plain, mut baseline, mut digest) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        plain.push(plain_count(&path));
        let before = resident();
        let began = Instant::now();
        let answer = ops.baseline(&windows, NO_PROGRESS).await.unwrap();
        baseline.push(began.elapsed());
        assert_eq!(answer.metrics.rows.len(), 24);
        let began = Instant::now();
        let drafted =
            ops.writer(&Caller::default()).await.unwrap().create_digest(&draft).await.unwrap();
        digest.push(began.elapsed());
        assert!(drafted.created, "{}", drafted.status);
        println!("resident memory grew by {} KiB", resident().saturating_sub(before));
    }
    println!("plain count of all events by type   {:>9.1} ms", median(plain));
    println!("baseline of 24 windows              {:>9.1} ms", median(baseline));
    println!("digest of 7 days                    {:>9.1} ms", median(digest));
}

/// Events evenly over the last days, up to now.
async fn fill(store: &SqliteStore, count: i64) {
    let now = SystemClock.now();
    let all = SignedDuration::from_hours(24 * DAYS).as_micros();
    let at = |n: i64| {
        let before = all * i128::from(count - 1 - n) / i128::from(count);
        now - SignedDuration::from_micros(i64::try_from(before).unwrap())
    };
    let mut first = 0;
    while first < count {
        let last = (first + BATCH).min(count);
        let events: Vec<_> = (first..last).map(|n| event(n, at(n))).collect();
        store.append(&events).await.unwrap();
        first = last;
    }
    // Without calls there is no evidence for a digest.
    let calls: Vec<_> = (0..100).map(|_| call(now)).collect();
    store.record_usage(&calls).await.unwrap();
}

fn call(at: Timestamp) -> UsageRow {
    UsageRow {
        id: Uuid::now_v7(),
        day: day_of(at),
        run_id: Some("bench".to_owned()),
        agent_id: Some(7.into()),
        checkpoint: None,
        provider: "groq".to_owned(),
        model_requested: "m".to_owned(),
        model_resolved: None,
        input_tokens: 900,
        cached_input_tokens: 0,
        output_tokens: 12,
        reasoning_tokens: 0,
        cost: NanoUsd(46_000),
        priced: true,
        success: true,
        sent: true,
        over_reservation: false,
        fallback_used: false,
        latency_ms: 300,
        error_type: None,
        created_at: at,
    }
}

fn event(n: i64, at: Timestamp) -> NewEvent {
    let kind = TYPES[usize::try_from(n).unwrap() % TYPES.len()];
    NewEvent::new(kind, "Something of an ordinary length happened.", at)
        .in_run(Some("bench"))
        .of_agent(1 + n % 50)
        .as_action(RuntimeMode::DeterministicFallback)
}

/// What one would write without simops: one count of everything.
fn plain_count(path: &Path) -> Duration {
    let connection = Connection::open(path).unwrap();
    let began = Instant::now();
    let mut statement =
        connection.prepare("SELECT event_type, count(*) FROM events GROUP BY event_type").unwrap();
    let types = statement.query_map([], |row| row.get::<_, String>(0)).unwrap().count();
    assert!(types >= TYPES.len());
    began.elapsed()
}

fn median(mut figures: Vec<Duration>) -> f64 {
    figures.sort();
    figures[figures.len() / 2].as_secs_f64() * 1e3
}

/// Resident memory in KiB, where the system reports it.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok()).unwrap_or(0)
}
