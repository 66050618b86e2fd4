//! The recipes of `deploy/postgres`: everything goes on over partitions as it did over one table.

use std::path::Path;
use std::process::Command;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use simops::event::NewEvent;
use simops::kpi::event::key_of;
use simops::kpi::{Kind, KpiEvent};
use simops::store::{ActivityScope, EventFilter, EventStore, KpiStore};
use simops_postgres::PostgresStore;
use simops_tests::postgres::{PostgresServer, TestDatabase};

fn run(database: &TestDatabase, script: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/postgres").join(script);
    let mut psql = Command::new("psql");
    let output = psql.args(["-X", "-q", "-f"]).arg(path).arg(database.url()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A moment of so many days ago.
fn ago(now: Timestamp, days: i64) -> Timestamp {
    now - SignedDuration::from_hours(24 * days)
}

fn visit(number: i64, at: Timestamp) -> KpiEvent {
    let visitor_id = format!("visitor-{number}");
    KpiEvent {
        uid: key_of(&format!("event-{number}")),
        kind: Kind::ALL[0],
        visitor: key_of(&visitor_id),
        visitor_id,
        session_id: None,
        run_id: None,
        event_id: None,
        surface: None,
        target: None,
        path: None,
        referrer: None,
        metadata: None,
        occurred_at: at,
        received_at: at,
    }
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
    // What is repeated is known, and what is new comes after all before it.
    store.append(&before).await.unwrap();
    store.append(&[event(2)]).await.unwrap();
    let more = descriptions(&store).await;
    assert_eq!((more.len(), more[0].as_str()), (7, "2 days ago"));
    assert_eq!(store.record_kpi(&visits).await.unwrap(), 0);
    assert_eq!(store.kpi_days(Date::MIN, Date::MAX).await.unwrap(), days);
    assert_eq!(store.record_kpi(&[visit(9, now)]).await.unwrap(), 1);
    assert_eq!(store.recount_kpi().await.unwrap().differences(), []);
    let counted = store.count_events(&ActivityScope::Since(ago(now, 90))).await.unwrap();
    assert_eq!(counted.iter().map(|count| count.count).sum::<i64>(), 7);

    // A day that is dropped is gone, and pruning finds the rest.
    let oldest = ago(now, 5).strftime("events_%Y_%m_%d");
    database.sql(&format!("DROP TABLE {oldest}"));
    assert_eq!(descriptions(&store).await.len(), 6);
    assert_eq!(store.delete_old_events(ago(now, 1), None, 100).await.unwrap(), 4);
    assert_eq!(descriptions(&store).await, ["0 days ago", "1 days ago"]);
}
