//! What visitors do on a busy day, the same whenever it is asked for: for benches.

use std::path::Path;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, params};
use simops::kpi::{Kind, KpiEvent};
use simops::store::rules::hash_key;
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Executor as _};

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
            let kind = Kind::ALL[usize::try_from(chance % 13).unwrap_or_default()];
            KpiEvent {
                // As random as browsers make them.
                uid: hash_key(&format!("{day} {place}")),
                session_id: Some(format!("session-{:010}", chance % 1_000_000)),
                run_id: Some("test-20260101T000000Z".to_owned()),
                surface: Some("landing".to_owned()),
                path: Some("/runs/test-20260101T000000Z".to_owned()),
                referrer: Some("https://www.example.org/".to_owned()),
                ..KpiEvent::new(kind, visitor_id, start)
            }
        })
        .collect()
}

/// The start of the day `after` days after 1 January 2026.
pub fn day(after: i64) -> Timestamp {
    Timestamp::from_second(1_767_225_600).unwrap_or_default()
        + SignedDuration::from_hours(24 * after)
}

fn mixed(number: u64) -> u64 {
    let z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^ (z >> 27)
}

/// What batches are compared with: rows inserted into a plain SQLite table of all columns, with no
/// index, a batch a transaction.
#[derive(Debug)]
pub struct PlainSqlite(Connection);

impl PlainSqlite {
    /// A new database at `path`, as durable as a store's.
    ///
    /// # Errors
    /// Of SQLite.
    pub fn create(path: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
             CREATE TABLE visits (id INTEGER PRIMARY KEY, uid BLOB, kind INTEGER, \
                 visitor_id TEXT, session_id TEXT, run_id TEXT, event_id TEXT, surface TEXT, \
                 target TEXT, path TEXT, referrer TEXT, metadata TEXT, occurred_at INTEGER, \
                 received_at INTEGER)",
        )?;
        Ok(Self(connection))
    }

    /// Inserts events in one transaction; how long it took.
    ///
    /// # Errors
    /// Of SQLite.
    pub fn insert(&self, events: &[KpiEvent]) -> rusqlite::Result<Duration> {
        let begun = Instant::now();
        self.0.execute_batch("BEGIN")?;
        let mut insert = self.0.prepare_cached(
            "INSERT INTO visits (uid, kind, visitor_id, session_id, run_id, event_id, surface, \
                 target, path, referrer, metadata, occurred_at, received_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )?;
        for event in events {
            insert.execute(params![
                event.uid.as_bytes(),
                event.kind.code(),
                event.visitor_id,
                event.session_id,
                event.run_id,
                event.event_id,
                event.surface,
                event.target,
                event.path,
                event.referrer,
                None::<String>,
                event.occurred_at.as_microsecond(),
                event.received_at.as_microsecond(),
            ])?;
        }
        self.0.execute_batch("COMMIT")?;
        Ok(begun.elapsed())
    }
}

/// The same on Postgres: batched inserts by `unnest` into a table as [the log's](simops::store::KpiStore)
/// is, with its number and its uid once, a batch a transaction.
#[derive(Debug)]
pub struct PlainPostgres(PgConnection);

impl PlainPostgres {
    /// A new table in the database at `url`, which has the store's tables.
    ///
    /// # Errors
    /// Of Postgres.
    pub async fn create(url: &str) -> sqlx::Result<Self> {
        let mut connection = PgConnection::connect(url).await?;
        connection.execute("CREATE TABLE plain (LIKE kpi_events INCLUDING ALL)").await?;
        Ok(Self(connection))
    }

    /// Inserts events in one transaction; how long it took.
    ///
    /// # Errors
    /// Of Postgres.
    pub async fn insert(&mut self, events: &[KpiEvent]) -> sqlx::Result<Duration> {
        let begun = Instant::now();
        let text = |of: fn(&KpiEvent) -> Option<&str>| events.iter().map(of).collect::<Vec<_>>();
        let kind = |event: &KpiEvent| i16::try_from(event.kind.code()).unwrap_or(i16::MAX);
        sqlx::query(
            "INSERT INTO plain (uid, kind, visitor_id, session_id, run_id, surface, path, \
                 referrer, occurred_at, received_at) \
             SELECT uid, kind, visitor_id, session_id, run_id, surface, path, referrer, \
                 to_timestamp(at), to_timestamp(at) \
             FROM unnest($1::uuid[], $2::smallint[], $3::text[], $4::text[], $5::text[], \
                 $6::text[], $7::text[], $8::text[], $9::bigint[]) AS new (uid, kind, visitor_id, \
                 session_id, run_id, surface, path, referrer, at)",
        )
        .bind(events.iter().map(|event| event.uid).collect::<Vec<_>>())
        .bind(events.iter().map(kind).collect::<Vec<_>>())
        .bind(text(|event| Some(&event.visitor_id)))
        .bind(text(|event| event.session_id.as_deref()))
        .bind(text(|event| event.run_id.as_deref()))
        .bind(text(|event| event.surface.as_deref()))
        .bind(text(|event| event.path.as_deref()))
        .bind(text(|event| event.referrer.as_deref()))
        .bind(events.iter().map(|event| event.occurred_at.as_second()).collect::<Vec<_>>())
        .execute(&mut self.0)
        .await?;
        Ok(begun.elapsed())
    }
}

/// Events per second of `batches` recorded in `spent`.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
pub fn per_second(batches: u64, spent: Duration) -> f64 {
    (batches * BATCH) as f64 / spent.as_secs_f64()
}

/// The median of some figures.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}
