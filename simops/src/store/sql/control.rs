//! Control state, run registry, audit trail and idempotency records.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::timeout;

use super::alerts::put_alert_records;
use super::budgets::change_budgets;
use super::digests::put_digest;
use super::runs::{list_runs, open_runs, put_labels, put_run, run_of};
use super::{GateLock, SqlOperation, SqlRecord, SqlRow, SqlStore, SqlTx, Statement};
use super::{count, insert, later_column, page};
use crate::control::{AuditHead, AuditRow, Change, ControlState};
use crate::run::RunRecord;
use crate::settings::key;
use crate::store::{
    AuditPage, Commit, ControlStore, DiskSpace, IdempotencyKey, IdempotencyRecord, Page, RunFilter,
};
use crate::{Error, Result};

/// Time limit of [`ControlStore::ping`].
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// The columns of the control state. An older schema has one world, and its epoch.
static CONTROL_COLUMNS: LazyLock<String> = LazyLock::new(|| {
    let worlds = ("worlds", "'{\"main\":' || control.world_epoch || '}'");
    format!(
        "generation, overrides, {}, audit_head_id, audit_head_hash, production_mark",
        later_column("control", "id", worlds)
    )
});

impl SqlRecord for ControlState {
    fn read<R: SqlRow>(row: &mut R) -> Result<Self, R::Error> {
        Ok(Self {
            generation: row.int()?.cast_unsigned(),
            overrides: row.json()?,
            worlds: match row.optional(R::text)? {
                Some(worlds) => read_worlds(&worlds).map_err(R::unreadable)?,
                None => BTreeMap::new(),
            },
            audit_head: AuditHead { id: row.int()?, hash: row.text()? },
            production_mark: row.flag()?,
            run: None,
            other_runs: Vec::new(),
        })
    }
}

/// The active epoch of each world, as stored.
///
/// # Errors
/// What cannot be read.
pub(super) fn read_worlds(stored: &str) -> Result<BTreeMap<String, i64>, String> {
    serde_json::from_str(stored).map_err(|error| format!("the active epochs: {error}"))
}

const AUDIT_COLUMNS: &str =
    "id, key, old_value, new_value, changed_by, environment, reason, created_at, hash";

/// The columns of audit rows in a query.
static READ_AUDIT_COLUMNS: LazyLock<String> = LazyLock::new(|| {
    format!("{AUDIT_COLUMNS}, {}", later_column("audit", "id", ("run_id", "NULL")))
});

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
            run_id: row.optional(R::text)?,
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
        let columns = &*READ_AUDIT_COLUMNS;
        let sql = format!("SELECT {columns} FROM audit WHERE id > $1 ORDER BY id LIMIT $2");
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
        let load = Statement::new(format!("SELECT {} FROM control", *CONTROL_COLUMNS));
        let mut state: ControlState = tx.fetch_one(&load).await?;
        let current = state.overrides.get(key::RUN_ID).and_then(|value| value.as_str());
        let mut open: Vec<RunRecord> = tx.fetch_all(&open_runs()).await?;
        if let Some(current) = current.filter(|current| !current.is_empty()) {
            state.run = match open.iter().position(|run| run.run_id == current) {
                Some(place) => Some(open.remove(place)),
                None => tx.fetch_optional(&run_of(current)).await?,
            };
        }
        if let Some(run) = &mut state.run {
            // An older schema has it in the settings alone.
            run.paused |= state.overrides.get(key::PAUSED) == Some(&true.into()) && run.is_open();
        }
        state.other_runs = open;
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
        let columns = &*READ_AUDIT_COLUMNS;
        let sql = format!("SELECT {columns} FROM audit ORDER BY id DESC LIMIT $1 OFFSET $2");
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
        // A run that ends makes room for another in its world.
        let (open, ended): (Vec<_>, Vec<_>) = change.runs.iter().partition(|run| run.is_open());
        let mut puts: Vec<_> = ended.into_iter().chain(open).map(put_run).collect();
        puts.extend(change.runs.iter().flat_map(put_labels));
        puts.extend(change.digest.iter().map(put_digest));
        puts.extend(change.audit.iter().map(put_audit_row));
        puts.extend(put_alert_records(&change.alert_records));
        for put in &puts {
            tx.execute(put).await?;
        }
        let at = change.audit.first().map_or(Timestamp::UNIX_EPOCH, |row| row.created_at);
        change_budgets(tx, &change.budgets, at).await?;
        tx.append_events(&change.events).await?;
        tx.notify_watchers();
        Ok(Commit::Done)
    }
}

fn replace_state(change: &Change) -> Statement {
    let next = &change.next;
    Statement::new(
        "UPDATE control SET generation = $1, overrides = $2, worlds = $3, audit_head_id = $4, \
             audit_head_hash = $5, production_mark = $6 \
         WHERE generation = $7",
    )
    .bind(next.generation)
    .bind_json(&next.overrides)
    .bind(&serde_json::json!(next.worlds).to_string())
    .bind(next.audit_head.id)
    .bind(&next.audit_head.hash)
    .bind(next.production_mark)
    .bind(change.expected_generation)
}

fn put_audit_row(row: &AuditRow) -> Statement {
    Statement::new(insert("audit", &format!("{AUDIT_COLUMNS}, run_id")))
        .bind(row.id)
        .bind(&row.key)
        .bind_json(&row.old_value)
        .bind_json(&row.new_value)
        .bind(&row.changed_by)
        .bind(&row.environment)
        .bind(&row.reason)
        .bind(row.created_at)
        .bind(&row.hash)
        .bind(&row.run_id)
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
