//! Control state, run registry, audit trail and idempotency records.

use async_trait::async_trait;
use jiff::Timestamp;
use simops::Result;
use simops::control::{AuditHead, AuditRow, Change, ControlState};
use simops::run::RunRecord;
use simops::settings::{Overrides, key};
use simops::store::{AuditPage, Commit, ControlStore, IdempotencyKey, IdempotencyRecord, Page};
use sqlx::Row;
use sqlx::postgres::PgRow;
use tokio::sync::watch;

use crate::PostgresStore;
use crate::codec::{Json, Micros, count};
use crate::error::Work;
use crate::link::Link;
use crate::transaction::Tx;
use crate::{alerts, digests, events, runs};

#[async_trait]
impl ControlStore for PostgresStore {
    async fn load(&self) -> Result<ControlState> {
        self.base
            .read(|mut connection| async move {
                let state = load(&mut connection).await?;
                Ok((connection, state))
            })
            .await
    }

    async fn commit(
        &self,
        change: &Change,
        answer: Option<(&IdempotencyKey, &IdempotencyRecord)>,
    ) -> Result<Commit> {
        self.base.write(|tx| commit(tx, change, answer)).await
    }

    async fn idempotency_record(&self, key: &str) -> Result<Option<IdempotencyRecord>> {
        self.base
            .query(|mut connection| async move {
                let found = recorded(&mut connection, key).await?;
                Ok((connection, found))
            })
            .await
    }

    async fn save_idempotency(
        &self,
        key: &IdempotencyKey,
        answer: &IdempotencyRecord,
    ) -> Result<Commit> {
        self.base
            .write(|mut tx| async move {
                let new = put_answer(&mut tx, key, answer).await?;
                Ok((tx, if new { Commit::Done } else { Commit::Conflict }))
            })
            .await
    }

    async fn delete_idempotency_before(&self, before: Timestamp) -> Result<u64> {
        self.base
            .write_idempotent(|mut tx| async move {
                let deleted = sqlx::query("DELETE FROM answers WHERE created_at < $1")
                    .bind(Micros(before))
                    .execute(&mut *tx)
                    .await?;
                Ok((tx, deleted.rows_affected()))
            })
            .await
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.base.revision.subscribe()
    }

    async fn run(&self, run_id: &str) -> Result<Option<RunRecord>> {
        self.base
            .query(|mut connection| async move {
                let run = runs::get(&mut connection, run_id).await?;
                Ok((connection, run))
            })
            .await
    }

    async fn runs(&self, before: Option<i64>, limit: usize) -> Result<Page<RunRecord>> {
        self.base
            .query(|mut connection| async move {
                let page = runs::list(&mut connection, before, limit).await?;
                Ok((connection, page))
            })
            .await
    }

    async fn audit(&self, limit: usize, offset: usize) -> Result<AuditPage> {
        self.base
            .read(|mut connection| async move {
                // Ids have no gaps, but a manipulated trail is shown as it is.
                let (all,): (i64,) = sqlx::query_as("SELECT count(*) FROM audit")
                    .fetch_one(&mut *connection)
                    .await?;
                let sql = "SELECT * FROM audit ORDER BY id DESC LIMIT $1 OFFSET $2";
                let items = audit_rows(&mut connection, sql, [count(limit), count(offset)]).await?;
                Ok((connection, AuditPage { count: all, items }))
            })
            .await
    }

    async fn audit_after(&self, after: i64, limit: usize) -> Result<Vec<AuditRow>> {
        self.base
            .query(|mut connection| async move {
                let sql = "SELECT * FROM audit WHERE id > $1 ORDER BY id LIMIT $2";
                let rows = audit_rows(&mut connection, sql, [after, count(limit)]).await?;
                Ok((connection, rows))
            })
            .await
    }

    async fn ping(&self) -> Result<()> {
        self.probe().await
    }

    fn backend(&self) -> &'static str {
        "postgres"
    }

    fn is_persistent(&self) -> bool {
        true
    }

    fn pool_utilization(&self) -> f64 {
        self.base.connections.utilization()
    }
}

async fn load(connection: &mut Link) -> Work<ControlState> {
    let row = sqlx::query("SELECT * FROM control").fetch_one(&mut *connection).await?;
    let mut state = ControlState {
        generation: row.try_get::<i64, _>("generation")?.cast_unsigned(),
        gate_generation: row.try_get::<i64, _>("gate_generation")?.cast_unsigned(),
        overrides: row.try_get::<Json<Overrides>, _>("overrides")?.0,
        run: None,
        production_mark: row.try_get("production_mark")?,
        world_epoch: row.try_get("world_epoch")?,
        audit_head: AuditHead {
            id: row.try_get("audit_head_id")?,
            hash: row.try_get("audit_head_hash")?,
        },
    };
    if let Some(run_id) = state.overrides.get(key::RUN_ID).and_then(|value| value.as_str()) {
        state.run = runs::get(connection, run_id).await?;
    }
    Ok(state)
}

async fn commit(
    mut tx: Tx,
    change: &Change,
    answer: Option<(&IdempotencyKey, &IdempotencyRecord)>,
) -> Work<(Tx, Commit)> {
    // The generation is compared first: concurrent commits wait for the lock on this row and then find
    // another generation.
    if !replace_state(&mut tx, change).await? {
        return Ok((tx.rolled_back(), Commit::Conflict));
    }
    if let Some((key, recorded)) = answer
        && !put_answer(&mut tx, key, recorded).await?
    {
        return Ok((tx.rolled_back(), Commit::Conflict));
    }
    if let Some(run) = &change.run {
        runs::put(&mut tx, run).await?;
    }
    if let Some(digest) = &change.digest {
        digests::put(&mut tx, digest).await?;
    }
    for row in &change.audit {
        put_audit_row(&mut tx, row).await?;
    }
    events::append(&mut tx, &change.events).await?;
    alerts::put_alert_records(&mut tx, &change.alert_records).await?;
    tx.notify_watchers();
    Ok((tx, Commit::Done))
}

async fn replace_state(connection: &mut Link, change: &Change) -> Work<bool> {
    let next = &change.next;
    let replaced = sqlx::query(
        "UPDATE control SET generation = $1, gate_generation = $2, overrides = $3, \
             world_epoch = $4, audit_head_id = $5, audit_head_hash = $6, production_mark = $7 \
         WHERE generation = $8",
    )
    .bind(next.generation.cast_signed())
    .bind(next.gate_generation.cast_signed())
    .bind(Json(&next.overrides))
    .bind(next.world_epoch)
    .bind(next.audit_head.id)
    .bind(&next.audit_head.hash)
    .bind(next.production_mark)
    .bind(change.expected_generation.cast_signed())
    .execute(connection)
    .await?;
    Ok(replaced.rows_affected() == 1)
}

async fn put_audit_row(connection: &mut Link, row: &AuditRow) -> Work<()> {
    sqlx::query(
        "INSERT INTO audit (id, key, old_value, new_value, changed_by, environment, reason, \
             created_at, hash) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(row.id)
    .bind(&row.key)
    .bind(Json(&row.old_value))
    .bind(Json(&row.new_value))
    .bind(&row.changed_by)
    .bind(&row.environment)
    .bind(&row.reason)
    .bind(Micros(row.created_at))
    .bind(&row.hash)
    .execute(connection)
    .await?;
    Ok(())
}

async fn audit_rows(
    connection: &mut Link,
    sql: &'static str,
    bounds: [i64; 2],
) -> Work<Vec<AuditRow>> {
    let rows = sqlx::query(sql).bind(bounds[0]).bind(bounds[1]).fetch_all(connection).await?;
    Ok(rows.iter().map(audit_row).collect::<sqlx::Result<_>>()?)
}

fn audit_row(row: &PgRow) -> sqlx::Result<AuditRow> {
    Ok(AuditRow {
        id: row.try_get("id")?,
        key: row.try_get("key")?,
        old_value: row.try_get::<Json<_>, _>("old_value")?.0,
        new_value: row.try_get::<Json<_>, _>("new_value")?.0,
        changed_by: row.try_get("changed_by")?,
        environment: row.try_get("environment")?,
        reason: row.try_get("reason")?,
        created_at: row.try_get::<Micros, _>("created_at")?.0,
        hash: row.try_get("hash")?,
    })
}

/// False when the key has an answer. One that another transaction is about to give is waited for.
async fn put_answer(
    connection: &mut Link,
    key: &IdempotencyKey,
    recorded: &IdempotencyRecord,
) -> Work<bool> {
    let written = sqlx::query(
        "INSERT INTO answers (key, fingerprint, answer, created_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (key) DO NOTHING",
    )
    .bind(&key.key)
    .bind(&recorded.fingerprint)
    .bind(Json(&recorded.answer))
    .bind(Micros(recorded.created_at))
    .execute(connection)
    .await?;
    Ok(written.rows_affected() == 1)
}

async fn recorded(connection: &mut Link, key: &str) -> Work<Option<IdempotencyRecord>> {
    let row = sqlx::query("SELECT fingerprint, answer, created_at FROM answers WHERE key = $1")
        .bind(key)
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(IdempotencyRecord {
        fingerprint: row.try_get(0)?,
        answer: row.try_get::<Json<_>, _>(1)?.0,
        created_at: row.try_get::<Micros, _>(2)?.0,
    }))
}
