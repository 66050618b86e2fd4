//! A store that injects failures.
// A method with a default that is not forwarded would bypass the injected failures.
#![deny(clippy::missing_trait_methods)]

mod visitors;

use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::sync::watch;
use uuid::Uuid;

use crate::control::{AuditRow, Change, ControlState, HostReport};
use crate::digest::{Digest, DigestStatus};
use crate::event::{DayTally, EventTally, EventWindow};
use crate::event::{Event, NewEvent};
use crate::run::RunRecord;
use crate::store::{
    ActivityScope, AuditPage, Commit, ControlStore, DigestStore, DiskSpace, Documents, EventCount,
    EventFilter, EventStore, FailureCounts, HostStore, IdempotencyKey, IdempotencyRecord, LogTable,
    Page, PruneCutoff, ReportStore, RetentionStore, RunFilter, RunStore, StoredReport, TallyStore,
    TimeCursor, TurnCommit, UsageFilter, UsageStore, World, WorldEpoch, WorldStore,
};
use crate::usage::CallTally;
use crate::usage::CallTotals;
use crate::usage::recount::{LedgerBasis, LedgerPiece, LedgerScan, Recount, UsageCorrection};
use crate::usage::series::Bucket;
use crate::usage::{
    Admission, BudgetStore, BudgetUse, Budgets, Caps, CounterClient, CounterEpoch,
    CounterEpochStore, CounterStatus, DayTotals, DayUse, Lease, UsageCounter, UsageRow, UseKey,
};
use crate::{Error, Result};

/// When an injected failure occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Before the call: nothing has changed.
    Before,
    /// After the call: it took effect, but the caller gets an error.
    After,
    /// Instead of the call: the caller gets no answer.
    Hang,
}

/// Forwards every call to another store, and fails selected calls with `Unavailable`.
///
/// Calls are numbered from 0 over all methods. Methods that do not return a `Result` are neither
/// numbered nor failed.
pub struct FaultyStore {
    inner: Arc<dyn RunStore>,
    calls: AtomicU64,
    plan: Mutex<Option<(Range<u64>, Fault)>>,
    full: AtomicBool,
}

impl FaultyStore {
    /// A store that fails no call yet.
    pub fn new(inner: Arc<dyn RunStore>) -> Self {
        Self {
            inner,
            calls: AtomicU64::new(0),
            plan: Mutex::new(None),
            full: AtomicBool::new(false),
        }
    }

    /// Fails the calls with these numbers, and no others. `n..n + 1` is one call, `n..u64::MAX` a
    /// permanent outage.
    pub fn fail(&self, calls: Range<u64>, fault: Fault) {
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = Some((calls, fault));
    }

    /// Fails no call from now on.
    pub fn recover(&self) {
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Sets whether all connections of the pool are reported as in use.
    pub fn fill_pool(&self, full: bool) {
        self.full.store(full, Ordering::SeqCst);
    }

    /// The number of calls so far, which is the number of the next call.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    async fn forward<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        let fault = {
            let plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
            plan.as_ref().filter(|(calls, _)| calls.contains(&number)).map(|(_, fault)| *fault)
        };
        if fault == Some(Fault::Before) {
            return Err(Error::unavailable("the store fails on purpose, before the call"));
        }
        if fault == Some(Fault::Hang) {
            std::future::pending::<()>().await;
        }
        let result = call.await;
        if fault == Some(Fault::After) {
            return Err(Error::unavailable("the store fails on purpose, after the call"));
        }
        result
    }
}

#[async_trait]
impl ControlStore for FaultyStore {
    async fn load(&self) -> Result<ControlState> {
        self.forward(self.inner.load()).await
    }

    async fn commit(
        &self,
        change: &Change,
        record: Option<(&IdempotencyKey, &IdempotencyRecord)>,
    ) -> Result<Commit> {
        self.forward(self.inner.commit(change, record)).await
    }

    async fn idempotency_record(&self, key: &str) -> Result<Option<IdempotencyRecord>> {
        self.forward(self.inner.idempotency_record(key)).await
    }

    async fn save_idempotency(
        &self,
        key: &IdempotencyKey,
        record: &IdempotencyRecord,
    ) -> Result<Commit> {
        self.forward(self.inner.save_idempotency(key, record)).await
    }

    async fn delete_expired_idempotency(&self, now: Timestamp, limit: usize) -> Result<u64> {
        self.forward(self.inner.delete_expired_idempotency(now, limit)).await
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.inner.watch()
    }

    async fn run(&self, run_id: &str) -> Result<Option<RunRecord>> {
        self.forward(self.inner.run(run_id)).await
    }

    async fn runs(&self, filter: &RunFilter) -> Result<Page<RunRecord>> {
        self.forward(self.inner.runs(filter)).await
    }

    async fn audit(&self, limit: usize, offset: usize) -> Result<AuditPage> {
        self.forward(self.inner.audit(limit, offset)).await
    }

    async fn audit_after(&self, after: i64, limit: usize) -> Result<Vec<AuditRow>> {
        self.forward(self.inner.audit_after(after, limit)).await
    }

    async fn ping(&self) -> Result<()> {
        self.forward(self.inner.ping()).await
    }

    fn backend(&self) -> &'static str {
        self.inner.backend()
    }

    fn is_persistent(&self) -> bool {
        self.inner.is_persistent()
    }

    fn disk_space(&self) -> Option<DiskSpace> {
        self.inner.disk_space()
    }

    fn pool_utilization(&self) -> f64 {
        if self.full.load(Ordering::SeqCst) { 1.0 } else { self.inner.pool_utilization() }
    }
}

#[async_trait]
impl EventStore for FaultyStore {
    async fn append(&self, events: &[NewEvent]) -> Result<()> {
        self.forward(self.inner.append(events)).await
    }

    async fn events(&self, filter: &EventFilter) -> Result<Page<Event>> {
        self.forward(self.inner.events(filter)).await
    }

    async fn event(&self, id: i64) -> Result<Option<Event>> {
        self.forward(self.inner.event(id)).await
    }

    async fn count_events(&self, scope: &ActivityScope) -> Result<Vec<EventCount>> {
        self.forward(self.inner.count_events(scope)).await
    }

    async fn count_events_by_run(&self, run_ids: &[String]) -> Result<Vec<(String, EventCount)>> {
        self.forward(self.inner.count_events_by_run(run_ids)).await
    }
}

#[async_trait]
impl RetentionStore for FaultyStore {
    async fn count_prunable(&self, log: LogTable, cutoff: &PruneCutoff) -> Result<u64> {
        self.forward(self.inner.count_prunable(log, cutoff)).await
    }

    async fn prune(&self, log: LogTable, cutoff: &PruneCutoff, limit: usize) -> Result<u64> {
        self.forward(self.inner.prune(log, cutoff, limit)).await
    }
}

#[async_trait]
impl TallyStore for FaultyStore {
    async fn tally(&self, window: EventWindow) -> Result<Vec<EventTally>> {
        self.forward(self.inner.tally(window)).await
    }

    async fn tally_days(&self, first: Date, last: Date) -> Result<Vec<DayTally>> {
        self.forward(self.inner.tally_days(first, last)).await
    }

    async fn tally_runs(
        &self,
        run_ids: &[String],
        window: EventWindow,
    ) -> Result<Vec<(String, EventTally)>> {
        self.forward(self.inner.tally_runs(run_ids, window)).await
    }

    async fn tally_days_of_runs(
        &self,
        run_ids: &[String],
        first: Date,
        last: Date,
    ) -> Result<Vec<DayTally>> {
        self.forward(self.inner.tally_days_of_runs(run_ids, first, last)).await
    }

    async fn events_of_type(
        &self,
        run_id: Option<&str>,
        window: EventWindow,
        event_type: &str,
        after: Option<TimeCursor>,
        limit: usize,
    ) -> Result<Vec<Event>> {
        self.forward(self.inner.events_of_type(run_id, window, event_type, after, limit)).await
    }

    async fn last_event(
        &self,
        run_id: Option<&str>,
        event_type: &str,
        until: Timestamp,
    ) -> Result<Option<Event>> {
        self.forward(self.inner.last_event(run_id, event_type, until)).await
    }
}

#[async_trait]
impl DigestStore for FaultyStore {
    async fn digest(&self, slug: &str) -> Result<Option<Digest>> {
        self.forward(self.inner.digest(slug)).await
    }

    async fn digests_of(&self, anchor: Date) -> Result<Vec<Digest>> {
        self.forward(self.inner.digests_of(anchor)).await
    }

    async fn digests(
        &self,
        status: Option<DigestStatus>,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Page<Digest>> {
        self.forward(self.inner.digests(status, before, limit)).await
    }
}

#[async_trait]
impl ReportStore for FaultyStore {
    async fn put_report(&self, report: &StoredReport) -> Result<bool> {
        self.forward(self.inner.put_report(report)).await
    }

    async fn report_of(&self, run_id: &str, ended_at: Timestamp) -> Result<Option<StoredReport>> {
        self.forward(self.inner.report_of(run_id, ended_at)).await
    }

    async fn report_ends(&self, run_id: &str) -> Result<Vec<Timestamp>> {
        self.forward(self.inner.report_ends(run_id)).await
    }

    async fn runs_without_report(&self, limit: usize) -> Result<Vec<RunRecord>> {
        self.forward(self.inner.runs_without_report(limit)).await
    }
}

#[async_trait]
impl HostStore for FaultyStore {
    async fn report(&self, report: &HostReport) -> Result<()> {
        self.forward(self.inner.report(report)).await
    }

    async fn leave(&self, host_id: &str) -> Result<()> {
        self.forward(self.inner.leave(host_id)).await
    }

    async fn hosts(&self, since: Timestamp) -> Result<Vec<HostReport>> {
        self.forward(self.inner.hosts(since)).await
    }

    async fn delete_hosts(&self, before: Timestamp) -> Result<()> {
        self.forward(self.inner.delete_hosts(before)).await
    }
}

#[async_trait]
impl UsageStore for FaultyStore {
    async fn record_usage(&self, rows: &[UsageRow]) -> Result<()> {
        self.forward(self.inner.record_usage(rows)).await
    }

    async fn day_totals(&self, day: Date) -> Result<DayTotals> {
        self.forward(self.inner.day_totals(day)).await
    }

    async fn llm_totals(&self, scope: &ActivityScope) -> Result<CallTotals> {
        self.forward(self.inner.llm_totals(scope)).await
    }

    async fn llm_totals_by_run(&self, run_ids: &[String]) -> Result<Vec<(String, CallTotals)>> {
        self.forward(self.inner.llm_totals_by_run(run_ids)).await
    }

    async fn failure_window(&self, run_id: &str, since: Timestamp) -> Result<FailureCounts> {
        self.forward(self.inner.failure_window(run_id, since)).await
    }

    async fn usage_series(
        &self,
        run_id: Option<&str>,
        since: Timestamp,
        step: SignedDuration,
    ) -> Result<Vec<Bucket>> {
        self.forward(self.inner.usage_series(run_id, since, step)).await
    }

    async fn tally_calls(
        &self,
        run_id: Option<&str>,
        window: EventWindow,
    ) -> Result<Vec<CallTally>> {
        self.forward(self.inner.tally_calls(run_id, window)).await
    }

    async fn usage_rows(&self, filter: &UsageFilter, limit: usize) -> Result<Page<UsageRow>> {
        self.forward(self.inner.usage_rows(filter, limit)).await
    }

    async fn ledger_basis(&self) -> Result<LedgerBasis> {
        self.forward(self.inner.ledger_basis()).await
    }

    async fn count_calls(
        &self,
        after: i64,
        until: i64,
        limit: usize,
        budgets: &Arc<Budgets>,
    ) -> Result<LedgerPiece> {
        self.forward(self.inner.count_calls(after, until, limit, budgets)).await
    }

    async fn finish_recount(&self, scan: Arc<LedgerScan>) -> Result<Recount> {
        self.forward(self.inner.finish_recount(scan)).await
    }

    async fn correct_usage(
        &self,
        revision: i64,
        wrong: Arc<UsageCorrection>,
    ) -> Result<Option<i64>> {
        self.forward(self.inner.correct_usage(revision, wrong)).await
    }
}

#[async_trait]
impl UsageCounter for FaultyStore {
    async fn reserve(&self, lease: &Lease, caps: &Caps) -> Result<Admission> {
        self.forward(self.inner.reserve(lease, caps)).await
    }

    async fn settle(&self, row: &UsageRow) -> Result<()> {
        self.forward(self.inner.settle(row)).await
    }

    async fn release(&self, lease_id: Uuid) -> Result<()> {
        self.forward(self.inner.release(lease_id)).await
    }

    async fn expire(&self, now: Timestamp) -> Result<u64> {
        self.forward(self.inner.expire(now)).await
    }

    async fn budget_uses(&self, keys: &[UseKey]) -> Result<BTreeMap<UseKey, BudgetUse>> {
        self.forward(self.inner.budget_uses(keys)).await
    }

    async fn day_use(&self, day: Date) -> Result<DayUse> {
        self.forward(self.inner.day_use(day)).await
    }

    fn health(&self) -> CounterStatus {
        self.inner.health()
    }

    async fn close(&self) {
        UsageCounter::close(&*self.inner).await;
    }
}

#[async_trait]
impl BudgetStore for FaultyStore {
    async fn budgets(&self) -> Result<Budgets> {
        self.forward(self.inner.budgets()).await
    }

    async fn groups_of_runs(&self, run_ids: &[String]) -> Result<BTreeMap<String, String>> {
        self.forward(self.inner.groups_of_runs(run_ids)).await
    }

    async fn largest_uses(
        &self,
        budget: &str,
        periods: &[String],
        limit: usize,
    ) -> Result<(Vec<(UseKey, BudgetUse)>, i64)> {
        self.forward(self.inner.largest_uses(budget, periods, limit)).await
    }

    async fn mark_counted(&self, budget: &str, defined: u64) -> Result<()> {
        self.forward(self.inner.mark_counted(budget, defined)).await
    }
}

#[async_trait]
impl CounterEpochStore for FaultyStore {
    async fn counter_epoch(&self) -> Result<CounterEpoch> {
        self.forward(self.inner.counter_epoch()).await
    }

    async fn advance_counter_epoch(&self, from: u64, to: &CounterEpoch) -> Result<bool> {
        self.forward(self.inner.advance_counter_epoch(from, to)).await
    }

    async fn heartbeat(&self, member: &CounterClient, open: &[Lease]) -> Result<CounterEpoch> {
        self.forward(self.inner.heartbeat(member, open)).await
    }

    async fn remove_counter_client(&self, id: Uuid) -> Result<()> {
        self.forward(self.inner.remove_counter_client(id)).await
    }

    async fn counter_clients(&self) -> Result<Vec<CounterClient>> {
        self.forward(self.inner.counter_clients()).await
    }

    async fn open_leases(&self) -> Result<Vec<Lease>> {
        self.forward(self.inner.open_leases()).await
    }

    async fn settled_row(&self, id: Uuid) -> Result<Option<UsageRow>> {
        self.forward(self.inner.settled_row(id)).await
    }
}

#[async_trait]
impl WorldStore for FaultyStore {
    async fn request_epoch(&self, world: &str, now: Timestamp) -> Result<i64> {
        self.forward(self.inner.request_epoch(world, now)).await
    }

    async fn requested_epochs(&self, world: &str, since: Timestamp) -> Result<Vec<WorldEpoch>> {
        self.forward(self.inner.requested_epochs(world, since)).await
    }

    async fn claim_epoch(&self, epoch: i64, host_id: &str) -> Result<bool> {
        self.forward(self.inner.claim_epoch(epoch, host_id)).await
    }

    async fn finish_epoch(&self, epoch: i64, documents: &Documents, result: &Value) -> Result<()> {
        self.forward(self.inner.finish_epoch(epoch, documents, result)).await
    }

    async fn fail_epoch(&self, epoch: i64, reason: &str) -> Result<()> {
        self.forward(self.inner.fail_epoch(epoch, reason)).await
    }

    async fn epoch(&self, epoch: i64) -> Result<Option<WorldEpoch>> {
        self.forward(self.inner.epoch(epoch)).await
    }

    async fn delete_epochs(&self, world: &str, before: Timestamp, keep: usize) -> Result<u64> {
        self.forward(self.inner.delete_epochs(world, before, keep)).await
    }

    async fn world(&self, epoch: i64) -> Result<World> {
        self.forward(self.inner.world(epoch)).await
    }

    async fn commit_turn(&self, turn: &TurnCommit) -> Result<i64> {
        self.forward(self.inner.commit_turn(turn)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::testing::MemoryStore;

    #[tokio::test]
    async fn only_the_selected_calls_fail() -> Result<()> {
        let inner = MemoryStore::new();
        let store = FaultyStore::new(Arc::new(inner.clone()));
        let event = || NewEvent::new("tick", "", Timestamp::UNIX_EPOCH);
        store.fail(1..2, Fault::Before);
        store.append(&[event()]).await?;
        let failed = store.append(&[event()]).await;
        assert!(failed.is_err_and(|error| error.kind() == ErrorKind::Unavailable));
        assert_eq!(inner.event(2).await?, None);

        store.fail(2..u64::MAX, Fault::After);
        assert!(store.append(&[event()]).await.is_err());
        assert!(inner.event(2).await?.is_some(), "the call took effect");
        assert!(store.load().await.is_err());

        store.recover();
        store.load().await?;
        assert_eq!(store.calls(), 5);
        Ok(())
    }
}
