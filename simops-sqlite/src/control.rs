//! Control state, run registry, audit trail and idempotency records.

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use simops::Result;
use simops::control::{AuditHead, AuditRow, Change, ControlState};
use simops::run::RunRecord;
use simops::settings::{Overrides, key};
use simops::store::{AuditPage, Commit, ControlStore, IdempotencyKey, IdempotencyRecord, Page};
use tokio::sync::watch;

use crate::SqliteStore;
use crate::codec::{Json, Micros, count};
use crate::error::Work;
use crate::job::Tx;
use crate::{alerts, digests, events, runs};

#[async_trait]
impl ControlStore for SqliteStore {
    async fn load(&self) -> Result<ControlState> {
        self.read(load).await
    }

    async fn commit(
        &self,
        change: &Change,
        answer: Option<(&IdempotencyKey, &IdempotencyRecord)>,
    ) -> Result<Commit> {
        let change = change.clone();
        let answer = answer.map(|(key, recorded)| (key.clone(), recorded.clone()));
        self.write(move |tx| commit(tx, &change, answer.as_ref())).await
    }

    async fn idempotency_record(&self, key: &str) -> Result<Option<IdempotencyRecord>> {
        let key = key.to_owned();
        self.read(move |connection| recorded(connection, &key)).await
    }

    async fn save_idempotency(
        &self,
        key: &IdempotencyKey,
        answer: &IdempotencyRecord,
    ) -> Result<Commit> {
        let answer = (key.clone(), answer.clone());
        self.write(move |tx| match is_answered(tx, &answer.0.key)? {
            true => Ok(Commit::Conflict),
            false => put_answer(tx, &answer).map(|()| Commit::Done),
        })
        .await
    }

    async fn delete_idempotency_before(&self, before: Timestamp) -> Result<u64> {
        self.write(move |tx| {
            let mut statement = tx.prepare_cached("DELETE FROM answers WHERE created_at < ?1")?;
            Ok(statement.execute([Micros(before)])? as u64)
        })
        .await
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    async fn run(&self, run_id: &str) -> Result<Option<RunRecord>> {
        let run_id = run_id.to_owned();
        self.read(move |connection| runs::get(connection, &run_id)).await
    }

    async fn runs(&self, before: Option<i64>, limit: usize) -> Result<Page<RunRecord>> {
        self.read(move |connection| runs::list(connection, before, limit)).await
    }

    async fn audit(&self, limit: usize, offset: usize) -> Result<AuditPage> {
        self.read(move |connection| {
            // Ids have no gaps, but a manipulated trail is shown as it is.
            let count = connection
                .prepare_cached("SELECT count(*) FROM audit")?
                .query_row([], |row| row.get(0))?;
            let items = audit_rows(
                connection,
                "SELECT * FROM audit ORDER BY id DESC LIMIT ?1 OFFSET ?2",
                [limit, offset],
            )?;
            Ok(AuditPage { count, items })
        })
        .await
    }

    async fn audit_after(&self, after: i64, limit: usize) -> Result<Vec<AuditRow>> {
        self.read(move |connection| {
            let mut statement = connection
                .prepare_cached("SELECT * FROM audit WHERE id > ?1 ORDER BY id LIMIT ?2")?;
            let rows = statement.query_map(params![after, count(limit)], audit_row)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn ping(&self) -> Result<()> {
        self.probe().await
    }

    fn backend(&self) -> &'static str {
        "sqlite"
    }

    fn is_persistent(&self) -> bool {
        self.is_file()
    }

    fn pool_utilization(&self) -> f64 {
        self.utilization()
    }
}

fn load(connection: &Connection) -> Work<ControlState> {
    let mut statement = connection.prepare_cached("SELECT * FROM control")?;
    let mut state = statement.query_row([], |row| {
        Ok(ControlState {
            generation: row.get::<_, i64>("generation")?.cast_unsigned(),
            gate_generation: row.get::<_, i64>("gate_generation")?.cast_unsigned(),
            overrides: row.get::<_, Json<Overrides>>("overrides")?.0,
            run: None,
            production_mark: row.get("production_mark")?,
            world_epoch: row.get("world_epoch")?,
            audit_head: AuditHead {
                id: row.get("audit_head_id")?,
                hash: row.get("audit_head_hash")?,
            },
        })
    })?;
    if let Some(run_id) = state.overrides.get(key::RUN_ID).and_then(|value| value.as_str()) {
        state.run = runs::get(connection, run_id)?;
    }
    Ok(state)
}

fn commit(
    tx: &Tx<'_>,
    change: &Change,
    answer: Option<&(IdempotencyKey, IdempotencyRecord)>,
) -> Work<Commit> {
    if let Some((key, _)) = answer
        && is_answered(tx, &key.key)?
    {
        return Ok(Commit::Conflict);
    }
    // The generation is compared first: only one of several concurrent commits gets further.
    if !replace_state(tx, change)? {
        return Ok(Commit::Conflict);
    }
    if let Some(run) = &change.run {
        runs::put(tx, run)?;
    }
    if let Some(digest) = &change.digest {
        digests::put(tx, digest)?;
    }
    for row in &change.audit {
        put_audit_row(tx, row)?;
    }
    events::append(tx, &change.events)?;
    alerts::put_alert_records(tx, &change.alert_records)?;
    if let Some(answer) = answer {
        put_answer(tx, answer)?;
    }
    tx.notify_watchers();
    Ok(Commit::Done)
}

fn replace_state(connection: &Connection, change: &Change) -> Work<bool> {
    let next = &change.next;
    let mut statement = connection.prepare_cached(
        "UPDATE control SET generation = ?1, gate_generation = ?2, overrides = ?3, \
             world_epoch = ?4, audit_head_id = ?5, audit_head_hash = ?6, production_mark = ?7 \
         WHERE generation = ?8",
    )?;
    let replaced = statement.execute(params![
        next.generation.cast_signed(),
        next.gate_generation.cast_signed(),
        Json(&next.overrides),
        next.world_epoch,
        next.audit_head.id,
        next.audit_head.hash,
        next.production_mark,
        change.expected_generation.cast_signed(),
    ])?;
    Ok(replaced == 1)
}

fn put_audit_row(connection: &Connection, row: &AuditRow) -> Work<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO audit (id, key, old_value, new_value, changed_by, environment, reason, \
             created_at, hash) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    statement.execute(params![
        row.id,
        row.key,
        Json(&row.old_value),
        Json(&row.new_value),
        row.changed_by,
        row.environment,
        row.reason,
        Micros(row.created_at),
        row.hash,
    ])?;
    Ok(())
}

fn audit_rows(connection: &Connection, sql: &str, bounds: [usize; 2]) -> Work<Vec<AuditRow>> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(bounds.map(count), audit_row)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn audit_row(row: &Row<'_>) -> rusqlite::Result<AuditRow> {
    Ok(AuditRow {
        id: row.get("id")?,
        key: row.get("key")?,
        old_value: row.get::<_, Json<_>>("old_value")?.0,
        new_value: row.get::<_, Json<_>>("new_value")?.0,
        changed_by: row.get("changed_by")?,
        environment: row.get("environment")?,
        reason: row.get("reason")?,
        created_at: row.get::<_, Micros>("created_at")?.0,
        hash: row.get("hash")?,
    })
}

fn is_answered(connection: &Connection, key: &str) -> Work<bool> {
    Ok(connection.prepare_cached("SELECT 1 FROM answers WHERE key = ?1")?.exists([key])?)
}

fn put_answer(
    connection: &Connection,
    (key, recorded): &(IdempotencyKey, IdempotencyRecord),
) -> Work<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO answers (key, fingerprint, answer, created_at) VALUES (?1, ?2, ?3, ?4)",
    )?;
    statement.execute(params![
        key.key,
        recorded.fingerprint,
        Json(&recorded.answer),
        Micros(recorded.created_at),
    ])?;
    Ok(())
}

fn recorded(connection: &Connection, key: &str) -> Work<Option<IdempotencyRecord>> {
    let mut statement = connection
        .prepare_cached("SELECT fingerprint, answer, created_at FROM answers WHERE key = ?1")?;
    let found = statement.query_row([key], |row| {
        Ok(IdempotencyRecord {
            fingerprint: row.get(0)?,
            answer: row.get::<_, Json<_>>(1)?.0,
            created_at: row.get::<_, Micros>(2)?.0,
        })
    });
    Ok(found.optional()?)
}
