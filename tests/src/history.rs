//! Databases with a long event log.

use std::path::Path;

use rusqlite::Connection;

use crate::postgres::TestDatabase;

/// Appends `count` events of the last 14 days to the database of a stopped server: of eight runs and
/// none, a hundred agents and twenty types, one of which is rare.
///
/// # Panics
/// When it fails.
pub fn fill_sqlite(path: &Path, count: u32) {
    let mut database = Connection::open(path).expect("the database opens");
    // A crash loses a database of a test only.
    database.pragma_update(None, "synchronous", "OFF").expect("a setting");
    // 1 GiB: pages of the indexes are changed again and again.
    database.pragma_update(None, "cache_size", -(1 << 20)).expect("a setting");
    let transaction = database.transaction().expect("a transaction");
    let insert = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?1) \
         INSERT INTO events (uid, run_id, agent_id, event_type, mode, description, metadata, created_at, \
             category, enforcement) \
         SELECT unhex(printf('%032x', n)), nullif('run-' || (n % 9), 'run-0'), n % 100, \
             CASE WHEN n % 50000 = 1 THEN 'rare' ELSE 'type-' || (n % 19) END, '', 'something happened', '{}', \
             CAST(1000000 * (unixepoch() - 1209600.0 * (?1 - n) / ?1) AS INTEGER), '', 0 \
         FROM numbers";
    transaction.execute(insert, [count]).expect("events are appended");
    for sums in SUMS {
        transaction
            .execute(&sums.replace("DAY", "date(created_at / 1000000, 'unixepoch')"), [])
            .expect("sums");
    }
    transaction.commit().expect("a commit");
}

/// As [`fill_sqlite`], on Postgres.
///
/// # Panics
/// When it fails.
pub fn fill_postgres(database: &TestDatabase, count: u32) {
    database.sql(&format!(
        "INSERT INTO events (uid, run_id, agent_id, event_type, mode, description, metadata, created_at, \
             category, enforcement) \
         SELECT lpad(to_hex(n), 32, '0')::uuid, nullif('run-' || (n % 9), 'run-0'), n % 100, \
             CASE WHEN n % 50000 = 1 THEN 'rare' ELSE 'type-' || (n % 19) END, '', 'something happened', '{{}}', \
             now() - interval '14 days' * (({count} - n)::float / {count}), '', false \
         FROM generate_series(1, {count}) AS n ORDER BY n"
    ));
    for sums in SUMS {
        database.sql(&sums.replace("DAY", "(created_at AT TIME ZONE 'UTC')::date"));
    }
    database.sql("VACUUM ANALYZE events");
    let found = database.sql("SELECT count(*) FROM events");
    assert!(found.trim().parse::<u32>().is_ok_and(|found| found >= count), "{found}");
}

const SUMS: [&str; 2] = [
    "INSERT INTO event_counts (run_id, event_type, mode, count) \
     SELECT run_id, event_type, mode, count(*) FROM events WHERE run_id IS NOT NULL GROUP BY 1, 2, 3",
    "INSERT INTO event_days (day, run_id, event_type, mode, agent_id, category, enforcement, count) \
     SELECT DAY, coalesce(run_id, ''), event_type, mode, agent_id, category, enforcement, count(*) \
     FROM events WHERE agent_id IS NOT NULL GROUP BY 1, 2, 3, 4, 5, 6, 7",
];
