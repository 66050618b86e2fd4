//! What visitors do on a busy day, the same whenever it is asked for: for benches.

use jiff::{SignedDuration, Timestamp};
use simops::kpi::event::key_of;
use simops::kpi::{Kind, KpiEvent};

/// Events sent together.
pub const BATCH: u64 = 500;

/// Visitors of a day: some come often, most seldom.
const VISITORS: u64 = 100_000;

/// A batch of the day that begins at `start`.
pub fn batch(start: Timestamp, number: u64) -> Vec<KpiEvent> {
    let day = start.as_second().unsigned_abs() / 86_400;
    (number * BATCH..(number + 1) * BATCH)
        .map(|place| {
            let chance = mixed(place ^ day << 40);
            // The square makes some come often.
            let share = (chance >> 20) % 1_000_000;
            let visitor_id =
                format!("visitor-{:010}", share * share * VISITORS / 1_000_000_000_000);
            KpiEvent {
                // As random as browsers make them.
                uid: key_of(&format!("{day} {place}")),
                kind: Kind::ALL[usize::try_from(chance % 13).unwrap_or_default()],
                visitor: key_of(&visitor_id),
                visitor_id,
                session_id: Some(format!("session-{:010}", chance % 1_000_000)),
                run_id: Some("test-20260101T000000Z".to_owned()),
                event_id: None,
                surface: Some("landing".to_owned()),
                target: None,
                path: Some("/runs/test-20260101T000000Z".to_owned()),
                referrer: Some("https://www.example.org/".to_owned()),
                metadata: None,
                occurred_at: start,
                received_at: start,
            }
        })
        .collect()
}

/// The start of a day so many days after the first of 2026.
pub fn day(after: i64) -> Timestamp {
    Timestamp::from_second(1_767_225_600).unwrap_or_default()
        + SignedDuration::from_hours(24 * after)
}

fn mixed(number: u64) -> u64 {
    let z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^ (z >> 27)
}

/// SQL of the plain table that batches are compared with, and of a row in it.
pub mod plain {
    /// Every column of the events, and no index.
    pub const SQLITE: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
         CREATE TABLE visits (id INTEGER PRIMARY KEY, uid BLOB, kind INTEGER, visitor_id TEXT, \
             session_id TEXT, run_id TEXT, event_id TEXT, surface TEXT, target TEXT, path TEXT, \
             referrer TEXT, metadata TEXT, occurred_at INTEGER, received_at INTEGER)";

    /// A row of it.
    pub const SQLITE_ROW: &str = "INSERT INTO visits (uid, kind, visitor_id, session_id, run_id, \
         event_id, surface, target, path, referrer, metadata, occurred_at, received_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
}
