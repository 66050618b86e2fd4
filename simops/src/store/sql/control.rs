//! Control state, run registry, audit trail and idempotency records.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::timeout;

use super::alerts::put_alert_records;
use super::digests::put_digest;
use super::runs::{list_runs, put_labels, put_run, run_of};
use super::{GateLock, SqlOperation, SqlRecord, SqlRow, SqlStore, SqlTx, Statement};
use super::{count, insert, page};
use crate::control::{AuditHead, AuditRow, Change, ControlState};
use crate::run::RunRecord;
use crate::settings::key;
use crate::store::{
    AuditPage, Commit, ControlStore, DiskSpace, IdempotencyKey, IdempotencyRecord, Page, RunFilter,
};
use crate::{Error, Result};

/// Time limit of [`ControlStore::ping`].
const PING_TIMEOUT: Duration = Duration::from_secs(1);

const CONTROL_COLUMNS: &str = "generation, gate_generation, overrides, world_epoch, \
     audit_head_id, audit_head_hash, production_mark";

impl SqlRecord for ControlState {
    fn read<R: SqlRow>(row: &mut R) -> Result<Self, R::Error> {
        Ok(Self {
            generation: row.int()?.cast_unsigned(),
            gate_generation: row.int()?.cast_unsigned(),
            overrides: row.json()?,
            world_epoch: row.optional(R::int)?,
            audit_head: AuditHead { id: row.int()?, hash: row.text()? },
            production_mark: row.flag()?,
            run: None,
        })
    }
}

const AUDIT_COLUMNS: &str =
    "id, key, old_value, new_value, changed_by, environment, reason, created_at, hash";

impl SqlRecord for AuditRow {
    fn read<R: SqlRow>(row: &mut R) -> Result<Self, R::Error> {
        Ok(Self {
            id: row.int()?,
            key: row.text()?,
            old_value: row.json()?,
            new_value: row.json()?,
            changed_by: row.text()?,
            environment: row.text()?,
            reason: row.optional(R::text)?,
            created_at: row.time()?,
            hash: row.text()?,
        })
    }
}

impl SqlRecord for IdempotencyRecord {
    fn read<R: SqlRow>(row: &mut R) -> Result<Self, R::Error> {
        Ok(Self { fingerprint: row.text()?, answer: row.json()?, created_at: row.time()? })
    }
}

#[async_trait]
impl<S: SqlStore> ControlStore for S {
    async fn load(&self) -> Result<ControlState> {
        self.read(Load).await
    }

    async fn commit(
        &self,
        change: &Change,
        answer: Option<(&IdempotencyKey, &IdempotencyRecord)>,
    ) -> Result<Commit> {
        let answer = answer.map(|(key, recorded)| put_answer(key, recorded));
        self.write(CommitChange { change: change.clone(), answer }).await
    }

    async fn idempotency_record(&self, key: &str) -> Result<Option<IdempotencyRecord>> {
        let sql = "SELECT fingerprint, answer, created_at FROM answers WHERE key = $1";
        self.fetch_optional(Statement::new(sql).bind(key).control()).await
    }

    async fn save_idempotency(
        &self,
        key: &IdempotencyKey,
        answer: &IdempotencyRecord,
    ) -> Result<Commit> {
        let saved = self.write(put_answer(key, answer)).await?;
        Ok(if saved == 1 { Commit::Done } else { Commit::Conflict })
    }

    async fn delete_expired_idempotency(&self, now: Timestamp, limit: usize) -> Result<u64> {
        // The time is compared twice, because the response may be replaced meanwhile.
        let delete = Statement::new(
            "DELETE FROM answers WHERE created_at <= $1 AND key IN (SELECT key FROM answers \
                 WHERE created_at <= $1 ORDER BY created_at LIMIT $2)",
        );
        let delete = delete.bind(IdempotencyRecord::expired_since(now)).bind(count(limit));
        self.write(delete.repeatable()).await
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.revision().subscribe()
    }

    async fn run(&self, run_id: &str) -> Result<Option<RunRecord>> {
        self.fetch_optional(run_of(run_id).control()).await
    }

    async fn runs(&self, filter: &RunFilter) -> Result<Page<RunRecord>> {
        Ok(page(self.fetch_all(list_runs(filter)).await?, filter.limit))
    }

    async fn audit(&self, limit: usize, offset: usize) -> Result<AuditPage> {
        self.read(ReadAudit { limit, offset }).await
    }

    async fn audit_after(&self, after: i64, limit: usize) -> Result<Vec<AuditRow>> {
        let sql = format!("SELECT {AUDIT_COLUMNS} FROM audit WHERE id > $1 ORDER BY id LIMIT $2");
        self.fetch_all(Statement::new(sql).bind(after).bind(count(limit))).await
    }

    async fn ping(&self) -> Result<()> {
        let late = |_| Error::unavailable("the database does not answer in time");
        timeout(PING_TIMEOUT, self.probe()).await.map_err(late)?
    }

    fn backend(&self) -> &'static str {
        S::BACKEND
    }

    fn is_persistent(&self) -> bool {
        self.outlives_process()
    }

    fn pool_utilization(&self) -> f64 {
        self.utilization()
    }

    fn disk_space(&self) -> Option<DiskSpace> {
        self.disk()
    }
}

struct Load;

impl SqlOperation for Load {
    type Output = ControlState;

    fn is_control(&self) -> bool {
        true
    }

    async fn run<T: SqlTx>(&self, tx: &mut T) -> Result<ControlState, T::Error> {
        let load = Statement::new(format!("SELECT {CONTROL_COLUMNS} FROM control"));
        let mut state: ControlState = tx.fetch_one(&load).await?;
        if let Some(run_id) = state.overrides.get(key::RUN_ID).and_then(|value| value.as_str()) {
            state.run = tx.fetch_optional(&run_of(run_id)).await?;
        }
        Ok(state)
    }
}

struct ReadAudit {
    limit: usize,
    offset: usize,
}

impl SqlOperation for ReadAudit {
    type Output = AuditPage;

    async fn run<T: SqlTx>(&self, tx: &mut T) -> Result<AuditPage, T::Error> {
        // Ids have no gaps, but a manipulated trail is shown as it is.
        let all = tx.fetch_one(&Statement::new("SELECT count(*) FROM audit")).await?;
        let sql = format!("SELECT {AUDIT_COLUMNS} FROM audit ORDER BY id DESC LIMIT $1 OFFSET $2");
        let items = Statement::new(sql).bind(count(self.limit)).bind(count(self.offset));
        Ok(AuditPage { count: all, items: tx.fetch_all(&items).await? })
    }
}

struct CommitChange {
    change: Change,
    answer: Option<Statement>,
}

impl SqlOperation for CommitChange {
    type Output = Commit;

    fn is_control(&self) -> bool {
        true
    }

    fn uses_reserve(&self) -> bool {
        true
    }

    async fn run<T: SqlTx>(&self, tx: &mut T) -> Result<Commit, T::Error> {
        let change = &self.change;
        tx.lock_gate(GateLock::Exclusive).await?;
        // The generation is compared first: of several concurrent commits only one gets further, and
        // the others wait for the lock on this row and then find another generation.
        if tx.execute(&replace_state(change)).await? == 0 {
            return Ok(Commit::Conflict);
        }
        // An answer that another transaction is about to give is waited for.
        if let Some(answer) = &self.answer
            && tx.execute(answer).await? == 0
        {
            tx.roll_back();
            return Ok(Commit::Conflict);
        }
        let mut puts: Vec<_> = change.run.iter().map(put_run).collect();
        puts.extend(change.run.iter().flat_map(put_labels));
        puts.extend(change.digest.iter().map(put_digest));
        puts.extend(change.audit.iter().map(put_audit_row));
        puts.extend(put_alert_records(&change.alert_records));
        for put in &puts {
            tx.execute(put).await?;
        }
        tx.append_events(&change.events).await?;
        tx.notify_watchers();
        Ok(Commit::Done)
    }
}

fn replace_state(change: &Change) -> Statement {
    let next = &change.next;
    Statement::new(
        "UPDATE control SET generation = $1, gate_generation = $2, overrides = $3, \
             world_epoch = $4, audit_head_id = $5, audit_head_hash = $6, production_mark = $7 \
         WHERE generation = $8",
    )
    .bind(next.generation)
    .bind(next.gate_generation)
    .bind_json(&next.overrides)
    .bind(next.world_epoch)
    .bind(next.audit_head.id)
    .bind(&next.audit_head.hash)
    .bind(next.production_mark)
    .bind(change.expected_generation)
}

fn put_audit_row(row: &AuditRow) -> Statement {
    Statement::new(insert("audit", AUDIT_COLUMNS))
        .bind(row.id)
        .bind(&row.key)
        .bind_json(&row.old_value)
        .bind_json(&row.new_value)
        .bind(&row.changed_by)
        .bind(&row.environment)
        .bind(&row.reason)
        .bind(row.created_at)
        .bind(&row.hash)
}

/// Stores a response; changes no row if its key has one that has not expired.
fn put_answer(key: &IdempotencyKey, recorded: &IdempotencyRecord) -> Statement {
    let insert = insert("answers", "key, fingerprint, answer, created_at");
    let replace = "ON CONFLICT (key) DO UPDATE SET fingerprint = excluded.fingerprint, \
                       answer = excluded.answer, created_at = excluded.created_at \
                   WHERE answers.created_at <= $5";
    Statement::new(format!("{insert} {replace}"))
        .bind(&key.key)
        .bind(&recorded.fingerprint)
        .bind_json(&recorded.answer)
        .bind(recorded.created_at)
        .bind(IdempotencyRecord::expired_since(recorded.created_at))
        .control()
}
