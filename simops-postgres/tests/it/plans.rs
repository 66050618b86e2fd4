//! Query plans of the listing of events.

use jiff::Timestamp;
use simops::store::sql::{SqlValue, list_events};
use simops::store::{EventFilter, TimeCursor};
use simops_postgres::PostgresStore;
use simops_tests::postgres::PostgresServer;

/// The statement with its values in place of its parameters.
fn filled(filter: &EventFilter, cursor: Option<TimeCursor>) -> String {
    let list = list_events(|_| String::new(), cursor, filter);
    let mut sql = list.sql.into_owned();
    for (number, value) in list.values.iter().enumerate().rev() {
        let value = match value {
            SqlValue::Int(Some(number)) => number.to_string(),
            SqlValue::Text(Some(text)) => format!("'{text}'"),
            SqlValue::Time(Some(time)) => format!("'{time}'::timestamptz"),
            other => panic!("{other:?}"),
        };
        sql = sql.replace(&format!("${}", number + 1), &value);
    }
    sql
}

#[tokio::test]
async fn every_listing_walks_an_index_and_stops_after_a_page() {
    let database = PostgresServer::shared().database();
    drop(PostgresStore::open(&database.url()).await.unwrap());
    // Half of the events are of one run, and a tenth of one type.
    database.sql(
        "INSERT INTO events (uid, run_id, event_type, mode, description, metadata, created_at, \
             category, enforcement) \
         SELECT gen_random_uuid(), 'run' || n % 2, 'type' || n % 10, '', 'text', '{}', \
             '2026-01-01T00:00:00Z'::timestamptz + n * interval '1 second', '', false \
         FROM generate_series(1, 50000) AS n",
    );
    database.sql("VACUUM ANALYZE events");
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    for combination in 0..32 {
        let has = |bit: u32| combination >> bit & 1 == 1;
        let filter = EventFilter {
            run_id: has(0).then(|| "run1".to_owned()),
            event_type: has(1).then(|| "type1".to_owned()),
            after: has(2).then(|| at("2026-01-01T01:00:00Z")),
            until: has(3).then(|| at("2026-01-01T12:00:00Z")),
            before: None,
            limit: 50,
        };
        let cursor = has(4).then(|| TimeCursor { at: at("2026-01-01T11:00:00Z"), id: 39_600 });
        let sql = filled(&filter, cursor);
        let plan = database.sql(&format!("EXPLAIN (COSTS OFF) {sql}"));
        assert!(plan.contains("Index Scan Backward using events_by_"), "{sql}\n{plan}");
        for wasteful in ["Sort", "Seq Scan", "Filter"] {
            assert!(!plan.contains(wasteful), "{sql}\n{plan}");
        }
    }
}
