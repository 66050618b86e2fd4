//! The query plans of the listing.

use jiff::Timestamp;
use simops::store::TimeCursor;
use simops::store::sql::{SqlTx, list_events};

use super::*;
use crate::job::Tx;

#[tokio::test]
async fn every_listing_walks_an_index_and_stops_after_a_page() {
    let store = SqliteStore::open("sqlite::memory:").await.unwrap();
    for combination in 0..32 {
        let has = |bit: u32| combination >> bit & 1 == 1;
        let filter = EventFilter {
            run_id: has(0).then(|| "run".to_owned()),
            event_type: has(1).then(|| "vote".to_owned()),
            after: has(2).then_some(Timestamp::UNIX_EPOCH),
            until: has(3).then_some(Timestamp::UNIX_EPOCH),
            before: None,
            limit: 50,
        };
        let cursor = has(4).then_some(TimeCursor { at: Timestamp::UNIX_EPOCH, id: 7 });
        let list = list_events(<Tx<'_> as SqlTx>::using_index, cursor, &filter);
        let explain = format!("EXPLAIN QUERY PLAN {}", list.sql);
        let plan = store.on_reader(move |tx| {
            let mut statement = tx.prepare(&explain)?;
            let values = vec![rusqlite::types::Null; statement.parameter_count()];
            let rows = statement.query_map(rusqlite::params_from_iter(values), |row| row.get(3))?;
            Ok(rows.collect::<rusqlite::Result<Vec<String>>>()?)
        });
        let plan = plan.await.unwrap().join("; ");
        // One search, no sort. Without a bound, the index is walked from its end.
        let search = match combination & !3 {
            0 if !has(0) && !has(1) => "SCAN events USING INDEX events_by_",
            _ => "SEARCH events USING INDEX events_by_",
        };
        // The other steps are those of the row that stands for a column of an older schema.
        let others = ["MATERIALIZE absent", "SCAN CONSTANT ROW", "SCAN absent LEFT-JOIN"];
        let steps: Vec<_> = plan.split("; ").filter(|step| !others.contains(step)).collect();
        let [plan] = steps[..] else { panic!("{filter:?} {cursor:?}: {plan}") };
        assert!(plan.starts_with(search), "{filter:?} {cursor:?}: {plan}");
        // The search begins at the upper end: no event after it is read.
        let bounded = plan.contains("created_at<?") || plan.contains("(created_at,");
        assert_eq!(bounded, has(3) || has(4), "{filter:?} {cursor:?}: {plan}");
        let after = plan.contains("created_at>?");
        assert_eq!(after, has(2), "{filter:?} {cursor:?}: {plan}");
        for (is_filtered, condition) in [(has(0), "run_id=?"), (has(1), "event_type=?")] {
            assert_eq!(plan.contains(condition), is_filtered, "{filter:?}: {plan}");
        }
    }
}
