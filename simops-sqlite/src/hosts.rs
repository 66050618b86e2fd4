//! Reports of hosts.

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{OptionalExtension, params};
use simops::Result;
use simops::control::{HostReport, HostState};
use simops::store::HostStore;
use simops::store::sql::{HOST_COLUMNS, host};

use crate::SqliteStore;
use crate::codec::{Micros, Word, all};
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
                tx.notify_watchers();
            }
            Ok(())
        })
        .await
    }

    async fn hosts(&self, since: Timestamp) -> Result<Vec<HostReport>> {
        self.read(move |connection| {
            let sql = format!("SELECT {HOST_COLUMNS} FROM hosts WHERE last_seen >= ?1 ORDER BY id");
            all(connection, &sql, [Micros(since)], |row| host(row))
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
    let reported = (report.state, report.generation);
    let before = tx
        .prepare_cached("SELECT state, generation FROM hosts WHERE id = ?1")?
        .query_row([&report.id], |row| {
            Ok((row.get::<_, Word<HostState>>(0)?.0, row.get::<_, i64>(1)?.cast_unsigned()))
        })
        .optional()?;
    tx.prepare_cached(&format!(
        "INSERT OR REPLACE INTO hosts ({HOST_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
    ))?
    .execute(params![
        report.id,
        report.version,
        Micros(report.last_seen),
        report.generation.cast_signed(),
        Word(report.state),
        report.in_flight_calls,
        report.owns_world,
    ])?;
    if before != Some(reported) {
        tx.notify_watchers();
    }
    Ok(())
}
