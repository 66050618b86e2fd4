//! Epochs of the world and their documents.

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;
use simops::store::sql::{EPOCH_COLUMNS, count, epoch};
use simops::store::{Documents, TurnCommit, World, WorldEpoch, WorldStore};
use simops::{Error, Result};
use sqlx::{AssertSqlSafe, Row};

use crate::PostgresStore;
use crate::codec::{Json, Micros};
use crate::error::Work;
use crate::events;
use crate::link::Link;
use crate::transaction::Tx;

#[async_trait]
impl WorldStore for PostgresStore {
    async fn request_epoch(&self, now: Timestamp) -> Result<i64> {
        self.base
            .write(|mut tx| async move {
                let (epoch,): (i64,) = sqlx::query_as(
                    "INSERT INTO epochs (status, requested_at) VALUES ('requested', $1) \
                     RETURNING epoch",
                )
                .bind(Micros(now))
                .fetch_one(&mut *tx)
                .await?;
                tx.notify_watchers();
                Ok((tx, epoch))
            })
            .await
    }

    async fn requested_epochs(&self, since: Timestamp) -> Result<Vec<WorldEpoch>> {
        let statement = || {
            let sql = format!(
                "SELECT {EPOCH_COLUMNS} FROM epochs \
                 WHERE status = 'requested' AND requested_at >= $1 ORDER BY epoch"
            );
            sqlx::query(AssertSqlSafe(sql)).bind(Micros(since))
        };
        self.base.fetch_all(statement, |row| epoch(row)).await
    }

    async fn claim_epoch(&self, epoch: i64, host_id: &str) -> Result<bool> {
        self.base
            .write(|mut tx| async move {
                let claimed = sqlx::query(
                    "UPDATE epochs SET status = 'building', host_id = $2 \
                     WHERE epoch = $1 AND status = 'requested'",
                )
                .bind(epoch)
                .bind(host_id)
                .execute(&mut *tx)
                .await?;
                let claimed = claimed.rows_affected() == 1;
                if claimed {
                    tx.notify_watchers();
                }
                Ok((tx, claimed))
            })
            .await
    }

    async fn finish_epoch(&self, epoch: i64, documents: &Documents, result: &Value) -> Result<()> {
        self.base
            .write_idempotent(|mut tx| async move {
                if end_building(&mut tx, epoch, "ready", Some(result), None).await? {
                    put_documents(&mut tx, epoch, documents).await?;
                }
                Ok((tx, ()))
            })
            .await
    }

    async fn fail_epoch(&self, epoch: i64, reason: &str) -> Result<()> {
        self.base
            .write_idempotent(|mut tx| async move {
                end_building(&mut tx, epoch, "failed", None, Some(reason)).await?;
                Ok((tx, ()))
            })
            .await
    }

    async fn epoch(&self, number: i64) -> Result<Option<WorldEpoch>> {
        let statement = || {
            let sql = format!("SELECT {EPOCH_COLUMNS} FROM epochs WHERE epoch = $1");
            sqlx::query(AssertSqlSafe(sql)).bind(number)
        };
        self.base.fetch_optional(statement, |row| epoch(row)).await
    }

    async fn delete_epochs(
        &self,
        before: Timestamp,
        keep: usize,
        shown: Option<i64>,
    ) -> Result<u64> {
        self.base
            .write_idempotent(|mut tx| async move {
                // Shared with turns, exclusive with a commit that shows another epoch.
                let (by_now,): (Option<i64>,) =
                    sqlx::query_as("SELECT world_epoch FROM control FOR SHARE")
                        .fetch_one(&mut *tx)
                        .await?;
                let deleted = sqlx::query(
                    "DELETE FROM epochs WHERE requested_at < $1 \
                         AND epoch NOT IN (SELECT epoch FROM epochs ORDER BY epoch DESC LIMIT $2) \
                         AND epoch IS DISTINCT FROM $3 AND epoch IS DISTINCT FROM $4",
                )
                .bind(Micros(before))
                .bind(count(keep))
                .bind(shown)
                .bind(by_now)
                .execute(&mut *tx)
                .await?;
                Ok((tx, deleted.rows_affected()))
            })
            .await
    }

    async fn world(&self, epoch: i64) -> Result<World> {
        self.base
            .read(|mut connection| async move {
                let world = world(&mut connection, epoch).await?;
                Ok((connection, world))
            })
            .await
    }

    async fn commit_turn(&self, turn: &TurnCommit) -> Result<i64> {
        self.base.write(|tx| commit_turn(tx, turn)).await
    }
}

/// Ends the building of an epoch; false if it has ended with this status before.
async fn end_building(
    tx: &mut Tx,
    epoch: i64,
    status: &str,
    result: Option<&Value>,
    reason: Option<&str>,
) -> Work<bool> {
    let ended = sqlx::query(
        "UPDATE epochs SET status = $2, result = $3, reason = $4 \
         WHERE epoch = $1 AND status = 'building'",
    )
    .bind(epoch)
    .bind(status)
    .bind(result.map(Json))
    .bind(reason)
    .execute(&mut **tx)
    .await?;
    if ended.rows_affected() == 1 {
        tx.notify_watchers();
        return Ok(true);
    }
    let before = sqlx::query("SELECT 1 FROM epochs WHERE epoch = $1 AND status = $2")
        .bind(epoch)
        .bind(status)
        .fetch_optional(&mut **tx)
        .await?;
    if before.is_some() {
        return Ok(false);
    }
    Err(Error::conflict(format!("epoch {epoch} of the world is not being built")).into())
}

async fn commit_turn(mut tx: Tx, turn: &TurnCommit) -> Work<(Tx, i64)> {
    // Turns share the lock. A commit that changes the gate waits for the turns in flight, and later
    // turns see the new gate.
    let (gate, shown): (i64, Option<i64>) =
        sqlx::query_as("SELECT gate_generation, world_epoch FROM control FOR SHARE")
            .fetch_one(&mut *tx)
            .await?;
    if turn.generation < gate.cast_unsigned() {
        return Err(Error::stale("the run was paused, stopped or reset since").into());
    }
    if shown != Some(turn.epoch) {
        return Err(Error::stale("another epoch of the world is shown").into());
    }
    let moved: Option<(i64,)> = sqlx::query_as(
        "UPDATE epochs SET version = version + 1 WHERE epoch = $1 AND version = $2 \
         RETURNING version",
    )
    .bind(turn.epoch)
    .bind(turn.expected_version)
    .fetch_optional(&mut *tx)
    .await?;
    let Some((version,)) = moved else {
        return Err(Error::stale("the world has changed since").into());
    };
    put_documents(&mut tx, turn.epoch, &turn.documents).await?;
    events::append(&mut tx, &turn.events).await?;
    Ok((tx, version))
}

async fn put_documents(connection: &mut Link, epoch: i64, documents: &Documents) -> Work<()> {
    let (gone, kept): (Vec<_>, Vec<_>) = documents.iter().partition(|(_, body)| body.is_null());
    if !gone.is_empty() {
        sqlx::query("DELETE FROM documents WHERE epoch = $1 AND name = ANY($2)")
            .bind(epoch)
            .bind(gone.into_iter().map(|(name, _)| name).collect::<Vec<_>>())
            .execute(&mut *connection)
            .await?;
    }
    if !kept.is_empty() {
        let (names, bodies): (Vec<_>, Vec<_>) =
            kept.into_iter().map(|(name, body)| (name, Json(body))).unzip();
        sqlx::query(
            "INSERT INTO documents (epoch, name, body) \
             SELECT $1, name, body FROM unnest($2::text[], $3::json[]) AS new (name, body) \
             ON CONFLICT (epoch, name) DO UPDATE SET body = excluded.body",
        )
        .bind(epoch)
        .bind(names)
        .bind(bodies)
        .execute(connection)
        .await?;
    }
    Ok(())
}

async fn world(connection: &mut Link, epoch: i64) -> Work<World> {
    let version: Option<(i64,)> = sqlx::query_as("SELECT version FROM epochs WHERE epoch = $1")
        .bind(epoch)
        .fetch_optional(&mut *connection)
        .await?;
    let rows = sqlx::query("SELECT name, body FROM documents WHERE epoch = $1")
        .bind(epoch)
        .fetch_all(connection)
        .await?;
    let documents =
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get::<Json<Value>, _>(1)?.0)));
    Ok(World {
        version: version.map(|(version,)| version).unwrap_or_default(),
        documents: documents.collect::<sqlx::Result<_>>()?,
    })
}
