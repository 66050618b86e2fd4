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
    assert!(plan(tally_sql()).await.split("; ").any(|step| step == read));
}

#[tokio::test]
async fn events_of_a_type_are_searched_by_time_and_need_no_sort() {
    let window = EventWindow { after: Timestamp::MIN, until: Timestamp::MAX };
    for (run_id, index) in [
        (None, "events_by_type_and_time (event_type=? AND created_at"),
        (Some("r"), "events_by_run_and_type (run_id=? AND event_type=? AND created_at"),
    ] {
        for statement in [
            events_of_type(USING_INDEX, run_id, window, "vote_cast", None, 1),
            last_event(USING_INDEX, run_id, "vote_cast", Timestamp::MAX),
        ] {
            let plan = plan(statement.sql.into_owned()).await;
            let read = format!("SEARCH events USING INDEX {index}");
            assert!(plan.split("; ").any(|step| step.starts_with(&read)), "{plan}");
            assert!(!plan.contains("SCAN events") && !plan.contains("B-TREE"), "{plan}");
        }
    }
}

#[tokio::test]
async fn events_of_some_runs_are_counted_without_those_of_others() {
    let run_ids = ["a", "b"].map(str::to_owned);
    let window = EventWindow { after: Timestamp::MIN, until: Timestamp::MAX };
    let in_window = run_tallies(USING_INDEX, &run_ids, window);
    let date = jiff::civil::date;
    let on_days = day_tallies_of_runs(&run_ids, date(2026, 3, 1), date(2026, 6, 30));
    assert_eq!((in_window.len(), on_days.len()), (1, 2));
    for (statement, read) in in_window
        .into_iter()
        .map(|s| (s, "INDEX events_by_run (run_id=? AND created_at>? AND created_at<?)"))
        .chain(on_days.into_iter().map(|s| (s, "PRIMARY KEY (day=? AND run_id=?)")))
    {
        let plan = plan(statement.sql.into_owned()).await;
        assert!(plan.contains(read) && !plan.contains("SCAN event"), "{plan}");
    }
}
