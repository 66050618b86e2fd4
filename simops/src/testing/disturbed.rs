//! A store whose recounts are disturbed: others write between their pieces.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::Result;
use crate::event::EventWindow;
use crate::kpi::{CountedSteps, Days, KpiEvent, LoggedVisit, Steps, VisitorSteps, WrongSteps};
use crate::progress::Progress;
use crate::store::{
    ActivityScope, FailureCounts, KpiBasis, KpiSnapshot, KpiStore, Page, RunStore, SelectedVisits,
    UsageFilter, UsageStore, VisitFilter,
};
use crate::usage::{
    Bucket, Budgets, CallTally, CallTotals, DayTotals, LedgerBasis, LedgerPiece, LedgerScan,
    Recount, UsageCorrection, UsageRow,
};

/// A write of another.
pub type Disturbance = Box<dyn FnOnce(Arc<dyn RunStore>) -> BoxFuture<'static, Result<()>> + Send>;

/// A store for recounts: before each of their calls, the next of some writes is done.
pub struct DisturbedStore {
    store: Arc<dyn RunStore>,
    writes: Mutex<VecDeque<Disturbance>>,
}

impl DisturbedStore {
    /// `store`, disturbed by `writes` in order.
    pub fn new(store: Arc<dyn RunStore>, writes: impl IntoIterator<Item = Disturbance>) -> Self {
        Self { store, writes: Mutex::new(writes.into_iter().collect()) }
    }

    /// The number of writes that were not done.
    pub fn left(&self) -> usize {
        self.writes.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    async fn disturb(&self) -> Result<&dyn RunStore> {
        let write = self.writes.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        if let Some(write) = write {
            write(Arc::clone(&self.store)).await?;
        }
        Ok(&*self.store)
    }
}

#[async_trait]
impl KpiStore for DisturbedStore {
    async fn record_kpi(&self, events: &[KpiEvent]) -> Result<u64> {
        self.store.record_kpi(events).await
    }

    async fn kpi_days(&self, first: Date, last: Date) -> Result<Days> {
        self.disturb().await?.kpi_days(first, last).await
    }

    async fn select_visits(&self, filter: &VisitFilter) -> Result<SelectedVisits> {
        self.store.select_visits(filter).await
    }

    async fn delete_visits(&self, filter: &VisitFilter, piece: &SelectedVisits) -> Result<u64> {
        self.store.delete_visits(filter, piece).await
    }

    async fn kpi_position(&self) -> Result<i64> {
        self.disturb().await?.kpi_position().await
    }

    async fn kpi_log(&self, after: i64, until: i64, limit: usize) -> Result<Vec<LoggedVisit>> {
        self.disturb().await?.kpi_log(after, until, limit).await
    }

    async fn kpi_basis(&self) -> Result<KpiBasis> {
        self.disturb().await?.kpi_basis().await
    }

    async fn compare_steps(&self, counted: Arc<CountedSteps>) -> Result<(i64, Vec<WrongSteps>)> {
        self.disturb().await?.compare_steps(counted).await
    }

    async fn visitor_steps(&self, keys: Vec<(Uuid, Date)>) -> Result<VisitorSteps> {
        self.disturb().await?.visitor_steps(keys).await
    }

    async fn kpi_snapshot(&self, first: Date, last: Date, after: i64) -> Result<KpiSnapshot> {
        self.disturb().await?.kpi_snapshot(first, last, after).await
    }

    async fn correct_steps(
        &self,
        revision: i64,
        counted: Arc<Vec<((Uuid, Date), Steps)>>,
        until: i64,
    ) -> Result<Option<i64>> {
        self.disturb().await?.correct_steps(revision, counted, until).await
    }

    async fn correct_sums(&self, revision: i64, changes: Arc<Days>) -> Result<Option<i64>> {
        self.disturb().await?.correct_sums(revision, changes).await
    }

    async fn rebuild_uids(&self, progress: Progress<'_>) -> Result<()> {
        self.disturb().await?.rebuild_uids(progress).await
    }
}

#[async_trait]
impl UsageStore for DisturbedStore {
    async fn record_usage(&self, rows: &[UsageRow]) -> Result<()> {
        self.store.record_usage(rows).await
    }

    async fn day_totals(&self, day: Date) -> Result<DayTotals> {
        self.store.day_totals(day).await
    }

    async fn llm_totals(&self, scope: &ActivityScope) -> Result<CallTotals> {
        self.store.llm_totals(scope).await
    }

    async fn llm_totals_by_run(&self, run_ids: &[String]) -> Result<Vec<(String, CallTotals)>> {
        self.store.llm_totals_by_run(run_ids).await
    }

    async fn failure_window(&self, run_id: &str, since: Timestamp) -> Result<FailureCounts> {
        self.store.failure_window(run_id, since).await
    }

    async fn usage_series(
        &self,
        run_id: Option<&str>,
        since: Timestamp,
        step: SignedDuration,
    ) -> Result<Vec<Bucket>> {
        self.store.usage_series(run_id, since, step).await
    }

    async fn tally_calls(
        &self,
        run_id: Option<&str>,
        window: EventWindow,
    ) -> Result<Vec<CallTally>> {
        self.store.tally_calls(run_id, window).await
    }

    async fn usage_rows(&self, filter: &UsageFilter, limit: usize) -> Result<Page<UsageRow>> {
        self.store.usage_rows(filter, limit).await
    }

    async fn ledger_basis(&self) -> Result<LedgerBasis> {
        self.disturb().await?.ledger_basis().await
    }

    async fn count_calls(
        &self,
        after: i64,
        until: i64,
        limit: usize,
        budgets: &Arc<Budgets>,
    ) -> Result<LedgerPiece> {
        self.disturb().await?.count_calls(after, until, limit, budgets).await
    }

    async fn finish_recount(&self, scan: Arc<LedgerScan>) -> Result<Recount> {
        self.disturb().await?.finish_recount(scan).await
    }

    async fn correct_usage(
        &self,
        revision: i64,
        wrong: Arc<UsageCorrection>,
    ) -> Result<Option<i64>> {
        self.disturb().await?.correct_usage(revision, wrong).await
    }
}
