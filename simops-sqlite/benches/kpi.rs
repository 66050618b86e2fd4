//! Visitor events compared with plain batched inserts of the same rows into SQLite: in one run, on the
//! disk of the temporary folder; and days read compared with days counted with SQL.
//!
//! `cargo bench -p simops-sqlite --bench kpi`; `EVENTS=10000000` for more than a million.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use jiff::civil::Date;
use rusqlite::Connection;
use simops::store::KpiStore;
use simops_sqlite::SqliteStore;
use simops_tests::visits::{BATCH, PlainSqlite, batch, day, median, per_second};

/// Callers at once, as connections of browsers' proxies are.
const CALLERS: u64 = 4;
/// Batches of a measurement.
const BATCHES: u64 = 400;

#[tokio::main]
async fn main() {
    let events: u64 =
        std::env::var("EVENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let folder = tempfile::tempdir().unwrap();
    let plain = PlainSqlite::create(&folder.path().join("plain.db")).unwrap();
    let url = format!("sqlite://{}", folder.path().join("simops.db").display());
    let store = Arc::new(SqliteStore::open(&url).await.unwrap());

    // In turns, so that a slow moment of the machine hits both.
    let (mut raw, mut empty) = (Vec::new(), Vec::new());
    for round in 0..3 {
        raw.push(plain_rate(&plain, round * BATCHES));
        empty.push(rate(&store, i64::try_from(round).unwrap(), round * BATCHES).await);
    }
    let mut sent = 3 * BATCHES;
    while sent * BATCH < events {
        store.record_kpi(&batch(day(0), sent)).await.unwrap();
        sent += 1;
    }
    let mut full = Vec::new();
    for _ in 0..3 {
        raw.push(plain_rate(&plain, sent));
        full.push(rate(&store, 0, sent).await);
        sent += BATCHES;
    }
    let (raw, empty, full) = (median(raw), median(empty), median(full));
    println!("plain batched inserts      {raw:>9.0} events/s");
    println!("into an empty day          {empty:>9.0} events/s  {:.2} of plain", empty / raw);
    println!(
        "with {:>10} in the day {full:>9.0} events/s  {:.2} of plain, {:.2} of empty",
        sent * BATCH,
        full / raw,
        full / empty
    );
    read(&store, &folder.path().join("simops.db")).await;
}

/// The days of `kpi/rollups?days=90` compared with the same figures counted with SQL.
async fn read(store: &SqliteStore, path: &Path) {
    let mut times: Vec<_> = Vec::new();
    for _ in 0..200 {
        let started = Instant::now();
        store.kpi_days(Date::MIN, Date::MAX).await.unwrap();
        times.push(started.elapsed());
    }
    times.sort_unstable();
    let kept = times[100];
    let connection = Connection::open(path).unwrap();
    let started = Instant::now();
    let mut statement = connection
        .prepare(
            "SELECT occurred_at / 86400000000 AS day, kind, count(*), count(DISTINCT visitor_id) \
             FROM kpi_events GROUP BY day, kind",
        )
        .unwrap();
    let rows = statement.query_map([], |row| row.get::<_, i64>(2)).unwrap();
    let counted: i64 = rows.map(Result::unwrap).sum();
    let recount = started.elapsed();
    println!(
        "days read {:?}; {counted} events counted with SQL, without returns, {:?}: {:.0} times",
        kept,
        recount,
        recount.as_secs_f64() / kept.as_secs_f64()
    );
}

/// Events per second into a day, a few callers at once.
async fn rate(store: &Arc<SqliteStore>, after: i64, first: u64) -> f64 {
    let batches: Vec<_> =
        (first..first + BATCHES).map(|number| batch(day(after), number)).collect();
    let started = Instant::now();
    let mut callers = tokio::task::JoinSet::new();
    for part in batches.chunks(usize::try_from(BATCHES / CALLERS).unwrap()) {
        let (store, part) = (Arc::clone(store), part.to_vec());
        callers.spawn(async move {
            for batch in part {
                store.record_kpi(&batch).await.unwrap();
            }
        });
    }
    callers.join_all().await;
    per_second(BATCHES, started.elapsed())
}

fn plain_rate(plain: &PlainSqlite, first: u64) -> f64 {
    let numbers = first..first + BATCHES;
    let spent = numbers.map(|number| plain.insert(&batch(day(0), number)).unwrap()).sum();
    per_second(BATCHES, spent)
}
