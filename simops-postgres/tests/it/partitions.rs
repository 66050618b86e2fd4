//! The recipes of `deploy/postgres`: everything works on partitions as it did on one table.

use std::path::Path;
use std::process::Command;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use simops::clock::day_of;
use simops::event::NewEvent;
use simops::kpi::{Kind, KpiEvent};
use simops::recount::RecountExt;
use simops::store::rules::hash_key;
use simops::store::{
    ActivityScope, EventFilter, EventStore, KpiStore, LogTable, PruneCutoff, RetentionStore,
    UsageFilter, UsageStore,
};
use simops::usage::{NanoUsd, UsageRow};
use simops_postgres::PostgresStore;
use simops_tests::postgres::{PostgresServer, TestDatabase};
use uuid::Uuid;

fn run(database: &TestDatabase, script: &str) {
    assert_eq!(psql(database, script, &[]), Ok(()));
}

/// What psql complains of, if it fails.
fn psql(database: &TestDatabase, script: &str, values: &[String]) -> Result<(), String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/postgres").join(script);
    let mut psql = Command::new("psql");
    for value in values {
        psql.arg("-v").arg(value);
    }
    let output = psql.args(["-X", "-q", "-f"]).arg(path).arg(database.url()).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(stderr) }
}

/// Drops a log's days before the one this many days ago.
fn drop_days(database: &TestDatabase, log: &str, days: i64) -> Result<(), String> {
    let before = ago(Timestamp::now(), days).strftime("before=%Y-%m-%d").to_string();
    psql(database, "drop-days.sql", &[format!("log={log}"), before])
}

/// A time this many days ago.
fn ago(now: Timestamp, days: i64) -> Timestamp {
    now - SignedDuration::from_hours(24 * days)
}

fn visit(number: i64, at: Timestamp) -> KpiEvent {
    let uid = hash_key(&format!("event-{number}"));
    KpiEvent { uid, ..KpiEvent::new(Kind::ALL[0], format!("visitor-{number}"), at) }
}

async fn descriptions(store: &PostgresStore) -> Vec<String> {
    let filter = EventFilter { limit: 100, ..EventFilter::default() };
    let page = store.events(&filter).await.unwrap();
    page.items.into_iter().map(|event| event.description).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_and_visits_go_on_over_a_partition_a_day() {
    let database = PostgresServer::shared().database();
    let now = Timestamp::now();
    let event = |days| NewEvent::new("tick", format!("{days} days ago"), ago(now, days));
    let before: Vec<_> = (0..6).rev().map(event).collect();
    let visits: Vec<_> = (0..6).map(|days| visit(days, ago(now, days))).collect();
    let store = PostgresStore::open(&database.url()).await.unwrap();
    store.append(&before).await.unwrap();
    store.record_kpi(&visits).await.unwrap();
    let shown = descriptions(&store).await;
    let days = store.kpi_days(Date::MIN, Date::MAX).await.unwrap();
    drop(store);

    run(&database, "partition.sql");
    run(&database, "partitions-ahead.sql");
    run(&database, "partitions-ahead.sql");
    let parts = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'events'::regclass";
    // Six days, fourteen ahead, and the rest; one more if the day has just changed.
    assert!(["21", "22"].contains(&database.sql(parts).trim()));
    let strays =
        "SELECT (SELECT count(*) FROM events_other) + (SELECT count(*) FROM kpi_events_other)";
    assert_eq!(database.sql(strays).trim(), "0");

    let store = PostgresStore::open(&database.url()).await.unwrap();
    assert_eq!(descriptions(&store).await, shown);
    // What is repeated is known.
    store.append(&before).await.unwrap();
    store.append(&[event(2)]).await.unwrap();
    let more = descriptions(&store).await;
    assert_eq!(more.len(), 7);
    assert_eq!(more[2..4], ["2 days ago", "2 days ago"]);
    assert_eq!(store.record_kpi(&visits).await.unwrap(), 0);
    assert_eq!(store.kpi_days(Date::MIN, Date::MAX).await.unwrap(), days);
    assert_eq!(store.record_kpi(&[visit(9, now)]).await.unwrap(), 1);
    assert_eq!(store.recount_kpi().await.unwrap().differences(), []);
    let counted = store.count_events(&ActivityScope::Since(ago(now, 90))).await.unwrap();
    assert_eq!(counted.iter().map(|count| count.count).sum::<i64>(), 7);

    // Days that are dropped are gone, and pruning finds the rest.
    drop_days(&database, "events", 4).unwrap();
    assert_eq!(descriptions(&store).await.len(), 6);
    let old = PruneCutoff { before: ago(now, 1), except_run: None };
    assert_eq!(store.prune(LogTable::Events, &old, 100).await.unwrap(), 3);
    // The newest stays, however old it is.
    assert_eq!(descriptions(&store).await, ["0 days ago", "1 days ago", "2 days ago"]);
}

fn made(number: i64, days: i64, provider: &str) -> UsageRow {
    let at = ago(Timestamp::now(), days);
    UsageRow {
        id: Uuid::from_u128(number.unsigned_abs().into()),
        day: day_of(at),
        run_id: (number % 3 > 0).then(|| "run".to_owned()),
        agent_id: None,
        checkpoint: None,
        provider: provider.to_owned(),
        model_requested: if number % 2 == 0 { "m:free" } else { "m" }.to_owned(),
        model_resolved: None,
        input_tokens: 10,
        cached_input_tokens: 0,
        output_tokens: 5,
        reasoning_tokens: 0,
        cost: NanoUsd(number),
        priced: number % 5 > 0,
        success: number % 4 > 0,
        sent: true,
        over_reservation: false,
        fallback_used: number % 7 == 0,
        latency_ms: 3,
        error_type: None,
        created_at: at,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ledger_goes_on_over_a_partition_a_day_and_counts_what_is_dropped() {
    let database = PostgresServer::shared().database();
    let store = PostgresStore::open(&database.url()).await.unwrap();
    let rows: Vec<_> = (1..=60).map(|number| made(number, number, "groq")).collect();
    store.record_usage(&rows).await.unwrap();
    // Of one call only the promise is known.
    let open = UsageRow { run_id: None, ..made(100, 2, "gemini") };
    let promised = UsageRow {
        success: false,
        error_type: Some("lease_expired".to_owned()),
        cost: NanoUsd(1_000),
        ..open.clone()
    };
    assert!(promised.is_expired());
    store.record_usage(&[promised]).await.unwrap();
    drop(store);
    run(&database, "partition.sql");
    run(&database, "partitions-ahead.sql");
    assert_eq!(database.sql("SELECT count(*) FROM usage_other").trim(), "0");

    let store = PostgresStore::open(&database.url()).await.unwrap();
    let before = store.recount().await.unwrap();
    assert_eq!((before.rows, before.differences()), (61, Vec::new()));
    // A call is booked once, by its real figures when they come.
    store.record_usage(&rows).await.unwrap();
    store.record_usage(&[open.clone(), open, made(101, 0, "groq")]).await.unwrap();
    let booked = store.recount().await.unwrap();
    assert_eq!((booked.rows, booked.differences()), (62, Vec::new()));
    let first = store.usage_rows(&UsageFilter::default(), 61).await.unwrap();
    let last = UsageFilter { after: first.next, ..UsageFilter::default() };
    let last = store.usage_rows(&last, 10).await.unwrap().items;
    assert_eq!(last.iter().map(|row| row.cost.0).collect::<Vec<_>>(), [101]);

    assert!(drop_days(&database, "usage", 34).unwrap_err().contains("35 days of usage are needed"));
    assert!(drop_days(&database, "runs", 50).unwrap_err().contains("log must be"));
    drop_days(&database, "usage", 50).unwrap();
    drop_days(&database, "usage", 40).unwrap();
    let dropped = store.recount().await.unwrap();
    assert_eq!((dropped.rows, dropped.pruned, dropped.differences()), (42, 20, Vec::new()));
    assert_eq!((dropped.days, dropped.runs), (booked.days.clone(), booked.runs.clone()));
    let old = PruneCutoff { before: ago(Timestamp::now(), 37), except_run: Some("run".to_owned()) };
    assert_eq!(store.prune(LogTable::Ledger, &old, 100).await.unwrap(), 1);
    let pruned = store.recount().await.unwrap();
    assert_eq!((pruned.rows, pruned.pruned, pruned.differences()), (41, 21, Vec::new()));
    assert_eq!((pruned.days, pruned.runs), (booked.days, booked.runs));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn days_of_visits_are_dropped_and_stay_counted() {
    let database = PostgresServer::shared().database();
    let store = PostgresStore::open(&database.url()).await.unwrap();
    let now = Timestamp::now();
    // One visitor a week, so that they return.
    let visits: Vec<_> = (0..120)
        .rev()
        .map(|days| KpiEvent { uid: Uuid::now_v7(), ..visit(days / 7, ago(now, days)) })
        .collect();
    store.record_kpi(&visits).await.unwrap();
    let days = store.kpi_days(Date::MIN, Date::MAX).await.unwrap();
    run(&database, "partition.sql");
    assert!(drop_days(&database, "kpi_events", 90).is_err());
    drop_days(&database, "kpi_events", 100).unwrap();
    let found = store.recount_kpi().await.unwrap();
    assert_eq!((found.events, found.pruned, found.wrong_steps), (101, 19, 0));
    assert_eq!(found.differences(), []);
    let old = PruneCutoff { before: ago(now, 95), except_run: None };
    assert_eq!(store.prune(LogTable::Visits, &old, 100).await.unwrap(), 5);
    let found = store.rebuild_kpi().await.unwrap();
    assert_eq!((found.events, found.pruned, found.differences()), (96, 24, Vec::new()));
    assert_eq!(store.kpi_days(Date::MIN, Date::MAX).await.unwrap(), days);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_without_a_partition_is_kept_with_the_rest() {
    let database = PostgresServer::shared().database();
    drop(PostgresStore::open(&database.url()).await.unwrap());
    run(&database, "partition.sql");
    let row = made(1, 0, "groq");
    let today = row.created_at.strftime("usage_%Y_%m_%d");
    database.sql(&format!("DROP TABLE {today}"));
    let store = PostgresStore::open(&database.url()).await.unwrap();
    store.record_usage(std::slice::from_ref(&row)).await.unwrap();
    run(&database, "partitions-ahead.sql");
    store.record_usage(&[row]).await.unwrap();
    assert_eq!(database.sql("SELECT count(*) FROM usage_other").trim(), "1");
    let found = store.recount().await.unwrap();
    assert_eq!((found.rows, found.differences()), (1, Vec::new()));
}
