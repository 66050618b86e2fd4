//! Reports of hosts.

use async_trait::async_trait;
use jiff::Timestamp;
use simops::Result;
use simops::control::HostReport;
use simops::store::HostStore;
use simops::store::sql::{HOST_COLUMNS, SqlRow, host};
use sqlx::AssertSqlSafe;

use crate::PostgresStore;
use crate::codec::{Cells, Micros, Word};
use crate::error::Work;
use crate::transaction::Tx;

#[async_trait]
impl HostStore for PostgresStore {
    async fn report(&self, report: &HostReport) -> Result<()> {
        self.base.write_idempotent(|tx| put(tx, report)).await
    }

    async fn leave(&self, host_id: &str) -> Result<()> {
        self.base
            .write_idempotent(|mut tx| async move {
                let left = sqlx::query("DELETE FROM hosts WHERE id = $1")
                    .bind(host_id)
                    .execute(&mut *tx)
                    .await?;
                if left.rows_affected() > 0 {
                    tx.notify_watchers();
                }
                Ok((tx, ()))
            })
            .await
    }

    async fn hosts(&self, since: Timestamp) -> Result<Vec<HostReport>> {
        let statement = || {
            let sql = format!("SELECT {HOST_COLUMNS} FROM hosts WHERE last_seen >= $1 ORDER BY id");
            sqlx::query(AssertSqlSafe(sql)).bind(Micros(since))
        };
        self.base.fetch_all(statement, |row| host(row)).await
    }

    async fn delete_hosts(&self, before: Timestamp) -> Result<()> {
        self.base
            .write_idempotent(|mut tx| async move {
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
    // Reads the last report and replaces it in one statement.
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
    let same = before.map(|row| Cells(&row).flag(0)).transpose()?;
    if same != Some(true) {
        tx.notify_watchers();
    }
    Ok((tx, ()))
}
