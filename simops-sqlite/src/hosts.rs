//! What hosts report of themselves.

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, params};
use simops::Result;
use simops::control::{HostReport, HostState};
use simops::store::HostStore;

use crate::SqliteStore;
use crate::codec::{Micros, Word};
use crate::error::Work;
use crate::job::Tx;

#[async_trait]
impl HostStore for SqliteStore {
    async fn report(&self, report: &HostReport) -> Result<()> {
        let report = report.clone();
        self.write(move |tx| put(tx, &report)).await
    }

    async fn leave(&self, host_id: &str) -> Result<()> {
        let host_id = host_id.to_owned();
        self.write(move |tx| {
            if tx.prepare_cached("DELETE FROM hosts WHERE id = ?1")?.execute([host_id])? > 0 {
                tx.tell_watchers();
            }
            Ok(())
        })
        .await
    }

    async fn hosts(&self, since: Timestamp) -> Result<Vec<HostReport>> {
        self.read(move |connection| {
            let mut statement = connection
                .prepare_cached("SELECT * FROM hosts WHERE last_seen >= ?1 ORDER BY id")?;
            let rows = statement.query_map([Micros(since)], host)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn delete_hosts(&self, before: Timestamp) -> Result<()> {
        self.write(move |tx| {
            tx.prepare_cached("DELETE FROM hosts WHERE last_seen < ?1")?
                .execute([Micros(before)])?;
            Ok(())
        })
        .await
    }
}

fn put(tx: &Tx<'_>, report: &HostReport) -> Work<()> {
    let said = (report.state, report.generation);
    let before = tx
        .prepare_cached("SELECT state, generation FROM hosts WHERE id = ?1")?
        .query_row([&report.id], |row| {
            Ok((row.get::<_, Word<HostState>>(0)?.0, row.get::<_, i64>(1)?.cast_unsigned()))
        })
        .optional()?;
    tx.prepare_cached(
        "INSERT OR REPLACE INTO hosts (id, version, last_seen, generation, state, \
             in_flight_calls, owns_world) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        report.id,
        report.version,
        Micros(report.last_seen),
        report.generation.cast_signed(),
        Word(report.state),
        report.in_flight_calls,
        report.owns_world,
    ])?;
    if before != Some(said) {
        tx.tell_watchers();
    }
    Ok(())
}

fn host(row: &Row<'_>) -> rusqlite::Result<HostReport> {
    Ok(HostReport {
        id: row.get("id")?,
        version: row.get("version")?,
        last_seen: row.get::<_, Micros>("last_seen")?.0,
        generation: row.get::<_, i64>("generation")?.cast_unsigned(),
        state: row.get::<_, Word<_>>("state")?.0,
        in_flight_calls: row.get("in_flight_calls")?,
        owns_world: row.get("owns_world")?,
    })
}
