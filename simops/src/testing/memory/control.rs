//! Control state, run registry, audit trail and idempotency records.

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;

use super::{Data, MemoryStore, next_position, page};
use crate::control::{AuditRow, Change, ControlState};
use crate::run::RunRecord;
use crate::settings::key;
use crate::store::{
    AuditPage, Commit, ControlStore, DiskSpace, IdempotencyKey, IdempotencyRecord, Page, RunFilter,
};
use crate::{Error, Result};

#[async_trait]
impl ControlStore for MemoryStore {
    async fn load(&self) -> Result<ControlState> {
        let data = self.data();
        let current = data.state.overrides.get(key::RUN_ID).and_then(Value::as_str);
        let run = current.and_then(|run_id| data.run(run_id)).cloned();
        let is_other = |run: &&RunRecord| run.is_open() && Some(run.run_id.as_str()) != current;
        let other_runs = data.runs.iter().filter(is_other).cloned().collect();
        Ok(ControlState { run, other_runs, ..data.state.clone() })
    }

    async fn commit(
        &self,
        change: &Change,
        record: Option<(&IdempotencyKey, &IdempotencyRecord)>,
    ) -> Result<Commit> {
        let mut data = self.data();
        if record.is_some_and(|(key, record)| data.has_response(key, record))
            || data.state.generation != change.expected_generation
        {
            return Ok(Commit::Conflict);
        }
        let before = data.runs.clone();
        change.runs.iter().for_each(|run| data.put_run(run));
        let open = data.runs.iter().filter(|run| run.is_open());
        let mut worlds: Vec<_> = open.filter_map(|run| run.world.clone()).collect();
        worlds.sort_unstable();
        if worlds.windows(2).any(|pair| pair[0] == pair[1]) {
            data.runs = before;
            return Err(Error::internal("a world would have a second open run"));
        }
        if let Some(digest) = &change.digest {
            data.put_digest(digest);
        }
        data.state = ControlState { run: None, other_runs: Vec::new(), ..change.next.clone() };
        data.audit.extend_from_slice(&change.audit);
        data.append(&change.events);
        data.put_alert_records(&change.alert_records);
        data.change_budgets(&change.budgets);
        if let Some((key, record)) = record {
            data.idempotency.insert(key.key.clone(), record.clone());
        }
        drop(data);
        self.notify_watchers();
        Ok(Commit::Done)
    }

    async fn idempotency_record(&self, key: &str) -> Result<Option<IdempotencyRecord>> {
        Ok(self.data().idempotency.get(key).cloned())
    }

    async fn save_idempotency(
        &self,
        key: &IdempotencyKey,
        record: &IdempotencyRecord,
    ) -> Result<Commit> {
        let mut data = self.data();
        if data.has_response(key, record) {
            return Ok(Commit::Conflict);
        }
        data.idempotency.insert(key.key.clone(), record.clone());
        Ok(Commit::Done)
    }

    async fn delete_expired_idempotency(&self, now: Timestamp, limit: usize) -> Result<u64> {
        let records = &mut self.data().idempotency;
        let expired = records.iter().filter(|(_, record)| record.is_expired(now));
        let mut expired: Vec<_> =
            expired.map(|(key, record)| (record.created_at, key.clone())).collect();
        expired.sort();
        expired.truncate(limit);
        for (_, key) in &expired {
            records.remove(key);
        }
        Ok(expired.len() as u64)
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    async fn run(&self, run_id: &str) -> Result<Option<RunRecord>> {
        Ok(self.data().run(run_id).cloned())
    }

    async fn runs(&self, filter: &RunFilter) -> Result<Page<RunRecord>> {
        let data = self.data();
        let rows = data.runs.iter().enumerate().filter(|(_, run)| filter.matches(run));
        let rows = rows.map(|(index, run)| (next_position(index), run.clone()));
        Ok(page(rows, filter.before, filter.limit))
    }

    async fn audit(&self, limit: usize, offset: usize) -> Result<AuditPage> {
        let rows = &self.data().audit;
        let items = rows.iter().rev().skip(offset).take(limit).cloned().collect();
        Ok(AuditPage { count: next_position(rows.len()) - 1, items })
    }

    async fn audit_after(&self, after: i64, limit: usize) -> Result<Vec<AuditRow>> {
        let data = self.data();
        let later = data.audit.iter().filter(|row| row.id > after);
        Ok(later.take(limit).cloned().collect())
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }

    fn backend(&self) -> &'static str {
        "memory"
    }

    fn is_persistent(&self) -> bool {
        false
    }

    fn pool_utilization(&self) -> f64 {
        0.0
    }

    fn disk_space(&self) -> Option<DiskSpace> {
        None
    }
}

impl Data {
    /// Whether `key` has a response that `record` does not replace.
    fn has_response(&self, key: &IdempotencyKey, record: &IdempotencyRecord) -> bool {
        let known = self.idempotency.get(&key.key);
        known.is_some_and(|known| !known.is_expired(record.created_at))
    }

    fn run(&self, run_id: &str) -> Option<&RunRecord> {
        self.runs.iter().find(|run| run.run_id == run_id)
    }

    fn put_run(&mut self, run: &RunRecord) {
        match self.runs.iter_mut().find(|known| known.run_id == run.run_id) {
            Some(known) => *known = run.clone(),
            None => self.runs.push(run.clone()),
        }
    }
}
