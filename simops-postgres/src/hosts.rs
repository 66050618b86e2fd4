//! What hosts report of themselves.

use async_trait::async_trait;
use jiff::Timestamp;
use simops::Result;
use simops::control::HostReport;
use simops::store::HostStore;
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::PostgresStore;
use crate::codec::{Micros, Word};
use crate::error::Work;
use crate::transaction::Tx;

#[async_trait]
impl HostStore for PostgresStore {
    async fn report(&self, report: &HostReport) -> Result<()> {
        self.base.write_known(|tx| put(tx, report)).await
    }

    async fn leave(&self, host_id: &str) -> Result<()> {
        self.base
            .write_known(|mut tx| async move {
                let left = sqlx::query("DELETE FROM hosts WHERE id = $1")
                    .bind(host_id)
                    .execute(&mut *tx)
                    .await?;
                if left.rows_affected() > 0 {
                    tx.tell_watchers();
                }
                Ok((tx, ()))
            })
            .await
    }

    async fn hosts(&self, since: Timestamp) -> Result<Vec<HostReport>> {
        self.base
            .look(|mut connection| async move {
                let rows = sqlx::query("SELECT * FROM hosts WHERE last_seen >= $1 ORDER BY id")
                    .bind(Micros(since))
                    .fetch_all(&mut *connection)
                    .await?;
                let hosts = rows.iter().map(host).collect::<sqlx::Result<_>>()?;
                Ok((connection, hosts))
            })
            .await
    }

    async fn delete_hosts(&self, before: Timestamp) -> Result<()> {
        self.base
            .write_known(|mut tx| async move {
                sqlx::query("DELETE FROM hosts WHERE last_seen < $1")
                    .bind(Micros(before))
                    .execute(&mut *tx)
                    .await?;
                Ok((tx, ()))
            })
            .await
    }
}

async fn put(mut tx: Tx, report: &HostReport) -> Work<(Tx, ())> {
    // What it said before, read and replaced in one statement.
    let before = sqlx::query(
        "WITH before AS (SELECT state, generation FROM hosts WHERE id = $1 FOR UPDATE), \
         put AS (INSERT INTO hosts (id, version, last_seen, generation, state, in_flight_calls, \
                 owns_world) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) \
             ON CONFLICT (id) DO UPDATE SET version = excluded.version, \
                 last_seen = excluded.last_seen, generation = excluded.generation, \
                 state = excluded.state, in_flight_calls = excluded.in_flight_calls, \
                 owns_world = excluded.owns_world) \
         SELECT state = $5 AND generation = $4 AS same FROM before",
    )
    .bind(&report.id)
    .bind(&report.version)
    .bind(Micros(report.last_seen))
    .bind(report.generation.cast_signed())
    .bind(Word(report.state))
    .bind(i64::from(report.in_flight_calls))
    .bind(report.owns_world)
    .fetch_optional(&mut *tx)
    .await?;
    let same = before.map(|row| row.try_get::<bool, _>("same")).transpose()?;
    if same != Some(true) {
        tx.tell_watchers();
    }
    Ok((tx, ()))
}

fn host(row: &PgRow) -> sqlx::Result<HostReport> {
    let in_flight: i64 = row.try_get("in_flight_calls")?;
    Ok(HostReport {
        id: row.try_get("id")?,
        version: row.try_get("version")?,
        last_seen: row.try_get::<Micros, _>("last_seen")?.0,
        generation: row.try_get::<i64, _>("generation")?.cast_unsigned(),
        state: row.try_get::<Word<_>, _>("state")?.0,
        in_flight_calls: in_flight.try_into().unwrap_or(u32::MAX),
        owns_world: row.try_get("owns_world")?,
    })
}
