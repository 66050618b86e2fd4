//! Tallies and the filters of indexed lists.

use rusqlite::types::Null;

use super::*;

/// The query plan of a statement.
async fn plan(sql: String) -> String {
    let store = SqliteStore::open("sqlite::memory:").await.unwrap();
    let plan = store.on_reader(move |connection| {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
        let parameters = vec![Null; statement.parameter_count()];
        let rows = statement.query_map(rusqlite::params_from_iter(parameters), |row| row.get(3))?;
        Ok(rows.collect::<rusqlite::Result<Vec<String>>>()?)
    });
    plan.await.unwrap().join("; ")
}

#[tokio::test]
async fn a_window_is_searched_in_a_covering_index() {
    let read = "SEARCH events USING COVERING INDEX events_by_time (created_at>? AND created_at<?)";
    assert_eq!(plan(tally_sql()).await, read);
}

#[tokio::test]
async fn events_of_a_type_are_searched_by_time_and_need_no_sort() {
    let read = "SEARCH events USING INDEX events_by_type_and_time (event_type=? AND created_at";
    let window = EventWindow { after: Timestamp::MIN, until: Timestamp::MAX };
    for statement in [
        events_of_type(BY_TYPE_AND_TIME, window, "vote_cast", None, 1),
        last_event(BY_TYPE_AND_TIME, "vote_cast", Timestamp::MAX),
    ] {
        let plan = plan(statement.sql.into_owned()).await;
        assert!(plan.starts_with(read), "{plan}");
        assert!(!plan.contains("SCAN") && !plan.contains("B-TREE"), "{plan}");
    }
}
