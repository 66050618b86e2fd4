//! Epochs of the world and their documents.

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;
use simops::store::sql::{EPOCH_COLUMNS, SqlRow, count, epoch};
use simops::store::{Documents, TurnCommit, World, WorldEpoch, WorldStore};
use simops::{Error, Result};

use crate::SqliteStore;
use crate::codec::{Json, Micros, all, first};
use crate::error::Work;
use crate::events;
use crate::job::Tx;

#[async_trait]
impl WorldStore for SqliteStore {
    async fn request_epoch(&self, now: Timestamp) -> Result<i64> {
        self.write(move |tx| {
            tx.prepare_cached(
                "INSERT INTO epochs (status, requested_at) VALUES ('requested', ?1)",
            )?
            .execute([Micros(now)])?;
            tx.notify_watchers();
            Ok(tx.last_insert_rowid())
        })
        .await
    }

    async fn requested_epochs(&self, since: Timestamp) -> Result<Vec<WorldEpoch>> {
        self.read(move |connection| {
            let sql = format!(
                "SELECT {EPOCH_COLUMNS} FROM epochs \
                 WHERE status = 'requested' AND requested_at >= ?1 ORDER BY epoch"
            );
            all(connection, &sql, [Micros(since)], |row| epoch(row))
        })
        .await
    }

    async fn claim_epoch(&self, epoch: i64, host_id: &str) -> Result<bool> {
        let host_id = host_id.to_owned();
        self.write(move |tx| {
            let mut statement = tx.prepare_cached(
                "UPDATE epochs SET status = 'building', host_id = ?2 \
                 WHERE epoch = ?1 AND status = 'requested'",
            )?;
            let claimed = statement.execute(params![epoch, host_id])? == 1;
            if claimed {
                tx.notify_watchers();
            }
            Ok(claimed)
        })
        .await
    }

    async fn finish_epoch(&self, epoch: i64, documents: &Documents, result: &Value) -> Result<()> {
        let (documents, result) = (documents.clone(), result.clone());
        self.write(move |tx| {
            let ended = end_building(tx, epoch, "ready", Some(&result), None)?;
            if ended { put_documents(tx, epoch, &documents) } else { Ok(()) }
        })
        .await
    }

    async fn fail_epoch(&self, epoch: i64, reason: &str) -> Result<()> {
        let reason = reason.to_owned();
        self.write(move |tx| end_building(tx, epoch, "failed", None, Some(&reason)).map(drop)).await
    }

    async fn epoch(&self, epoch: i64) -> Result<Option<WorldEpoch>> {
        self.read(move |connection| get(connection, epoch)).await
    }

    async fn delete_epochs(
        &self,
        before: Timestamp,
        keep: usize,
        shown: Option<i64>,
    ) -> Result<u64> {
        self.write(move |tx| {
            let mut statement = tx.prepare_cached(
                "DELETE FROM epochs WHERE requested_at < ?1 \
                     AND epoch NOT IN (SELECT epoch FROM epochs ORDER BY epoch DESC LIMIT ?2) \
                     AND epoch IS NOT ?3 AND epoch IS NOT (SELECT world_epoch FROM control)",
            )?;
            Ok(statement.execute(params![Micros(before), count(keep), shown])? as u64)
        })
        .await
    }

    async fn world(&self, epoch: i64) -> Result<World> {
        self.read(move |connection| world(connection, epoch)).await
    }

    async fn commit_turn(&self, turn: &TurnCommit) -> Result<i64> {
        let turn = turn.clone();
        self.write(move |tx| commit_turn(tx, &turn)).await
    }
}

/// Ends the building of an epoch; false if it has ended with this status before.
fn end_building(
    tx: &Tx<'_>,
    epoch: i64,
    status: &str,
    result: Option<&Value>,
    reason: Option<&str>,
) -> Work<bool> {
    let mut statement = tx.prepare_cached(
        "UPDATE epochs SET status = ?2, result = ?3, reason = ?4 \
         WHERE epoch = ?1 AND status = 'building'",
    )?;
    if statement.execute(params![epoch, status, result.map(Json), reason])? == 1 {
        tx.notify_watchers();
        return Ok(true);
    }
    let mut statement =
        tx.prepare_cached("SELECT 1 FROM epochs WHERE epoch = ?1 AND status = ?2")?;
    if statement.exists(params![epoch, status])? {
        return Ok(false);
    }
    Err(Error::conflict(format!("epoch {epoch} of the world is not being built")).into())
}

fn commit_turn(tx: &Tx<'_>, turn: &TurnCommit) -> Work<i64> {
    let (gate, shown): (i64, Option<i64>) = tx
        .prepare_cached("SELECT gate_generation, world_epoch FROM control")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if turn.generation < gate.cast_unsigned() {
        return Err(Error::stale("the run was paused, stopped or reset since").into());
    }
    if shown != Some(turn.epoch) {
        return Err(Error::stale("another epoch of the world is shown").into());
    }
    let moved = tx
        .prepare_cached(
            "UPDATE epochs SET version = version + 1 WHERE epoch = ?1 AND version = ?2 \
             RETURNING version",
        )?
        .query_row([turn.epoch, turn.expected_version], |row| row.get(0))
        .optional()?;
    let Some(version) = moved else {
        return Err(Error::stale("the world has changed since").into());
    };
    put_documents(tx, turn.epoch, &turn.documents)?;
    events::append(tx, &turn.events)?;
    Ok(version)
}

fn put_documents(connection: &Connection, epoch: i64, documents: &Documents) -> Work<()> {
    let mut put = connection.prepare_cached(
        "INSERT OR REPLACE INTO documents (epoch, name, body) VALUES (?1, ?2, ?3)",
    )?;
    let mut remove =
        connection.prepare_cached("DELETE FROM documents WHERE epoch = ?1 AND name = ?2")?;
    for (name, body) in documents {
        if body.is_null() {
            remove.execute(params![epoch, name])?;
        } else {
            put.execute(params![epoch, name, Json(body)])?;
        }
    }
    Ok(())
}

fn get(connection: &Connection, number: i64) -> Work<Option<WorldEpoch>> {
    let sql = format!("SELECT {EPOCH_COLUMNS} FROM epochs WHERE epoch = ?1");
    first(connection, &sql, [number], |row| epoch(row))
}

fn world(connection: &Connection, epoch: i64) -> Work<World> {
    let sql = "SELECT version FROM epochs WHERE epoch = ?1";
    let version = first(connection, sql, [epoch], |row| row.int(0))?;
    let sql = "SELECT name, body FROM documents WHERE epoch = ?1";
    let documents = all(connection, sql, [epoch], |row| Ok((row.text(0)?, row.json(1)?)))?;
    let documents = documents.into_iter().collect();
    Ok(World { version: version.unwrap_or_default(), documents })
}
