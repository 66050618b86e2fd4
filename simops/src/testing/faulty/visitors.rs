//! Forwards the roles for KPIs, alerts, known addresses and the leader lease.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;
use uuid::Uuid;

use super::FaultyStore;
use crate::alert::{Alert, Attempt, Delivery, Message};
use crate::kpi::summary::Days;
use crate::kpi::{CountedSteps, KpiEvent, LoggedVisit, Steps, VisitorSteps, WrongSteps};
use crate::progress::Progress;
use crate::store::{
    AgentStore, AlertStore, FencingToken, KnownAddress, KnownAddressStore, KpiBasis, KpiSnapshot,
    KpiStore, LeaderLease, LeaderLeaseStore, MessageRecord, Page, SelectedVisits, VisitFilter,
};
use crate::{AgentId, Result};

#[async_trait]
impl AlertStore for FaultyStore {
    async fn newest_alerts(&self) -> Result<Vec<Alert>> {
        self.forward(self.inner.newest_alerts()).await
    }

    async fn alert(&self, id: Uuid) -> Result<Option<Alert>> {
        self.forward(self.inner.alert(id)).await
    }

    async fn alerts(&self, before: Option<i64>, limit: usize) -> Result<Page<Alert>> {
        self.forward(self.inner.alerts(before, limit)).await
    }

    async fn last_message(&self, fingerprint: &str) -> Result<Option<MessageRecord>> {
        self.forward(self.inner.last_message(fingerprint)).await
    }

    async fn messages(&self, before: Option<i64>, limit: usize) -> Result<Page<MessageRecord>> {
        self.forward(self.inner.messages(before, limit)).await
    }

    async fn delivery(&self, id: Uuid) -> Result<Option<Delivery>> {
        self.forward(self.inner.delivery(id)).await
    }

    async fn last_attempted(&self, sink: &str, target: &str) -> Result<Option<Delivery>> {
        self.forward(self.inner.last_attempted(sink, target)).await
    }

    async fn pending(&self, limit: usize) -> Result<Vec<(Delivery, Message)>> {
        self.forward(self.inner.pending(limit)).await
    }

    async fn record_attempt(
        &self,
        token: &FencingToken,
        before: &Delivery,
        after: &Delivery,
        attempt: &Attempt,
    ) -> Result<bool> {
        self.forward(self.inner.record_attempt(token, before, after, attempt)).await
    }

    async fn delivery_with_attempts(&self, id: Uuid) -> Result<Option<(Delivery, Vec<Attempt>)>> {
        self.forward(self.inner.delivery_with_attempts(id)).await
    }
}

#[async_trait]
impl LeaderLeaseStore for FaultyStore {
    async fn leader_lease(&self, name: &str) -> Result<Option<LeaderLease>> {
        self.forward(self.inner.leader_lease(name)).await
    }

    async fn replace_leader_lease(
        &self,
        seen: Option<&LeaderLease>,
        next: &LeaderLease,
    ) -> Result<bool> {
        self.forward(self.inner.replace_leader_lease(seen, next)).await
    }
}

#[async_trait]
impl AgentStore for FaultyStore {
    async fn keep_agent(&self, run_id: &str, agent: &AgentId, limit: usize) -> Result<bool> {
        self.forward(self.inner.keep_agent(run_id, agent, limit)).await
    }
}

#[async_trait]
impl KnownAddressStore for FaultyStore {
    async fn known_address(&self, id: &str) -> Result<Option<Timestamp>> {
        self.forward(self.inner.known_address(id)).await
    }

    async fn save_known_address(&self, address: &KnownAddress, keep: usize) -> Result<()> {
        self.forward(self.inner.save_known_address(address, keep)).await
    }
}

#[async_trait]
impl KpiStore for FaultyStore {
    async fn record_kpi(&self, events: &[KpiEvent]) -> Result<u64> {
        self.forward(self.inner.record_kpi(events)).await
    }

    async fn kpi_days(&self, first: Date, last: Date) -> Result<Days> {
        self.forward(self.inner.kpi_days(first, last)).await
    }

    async fn select_visits(&self, filter: &VisitFilter) -> Result<SelectedVisits> {
        self.forward(self.inner.select_visits(filter)).await
    }

    async fn delete_visits(&self, filter: &VisitFilter, piece: &SelectedVisits) -> Result<u64> {
        self.forward(self.inner.delete_visits(filter, piece)).await
    }

    async fn kpi_position(&self) -> Result<i64> {
        self.forward(self.inner.kpi_position()).await
    }

    async fn kpi_log(&self, after: i64, until: i64, limit: usize) -> Result<Vec<LoggedVisit>> {
        self.forward(self.inner.kpi_log(after, until, limit)).await
    }

    async fn kpi_basis(&self) -> Result<KpiBasis> {
        self.forward(self.inner.kpi_basis()).await
    }

    async fn compare_steps(&self, counted: Arc<CountedSteps>) -> Result<(i64, Vec<WrongSteps>)> {
        self.forward(self.inner.compare_steps(counted)).await
    }

    async fn visitor_steps(&self, keys: Vec<(Uuid, Date)>) -> Result<VisitorSteps> {
        self.forward(self.inner.visitor_steps(keys)).await
    }

    async fn kpi_snapshot(&self, first: Date, last: Date, after: i64) -> Result<KpiSnapshot> {
        self.forward(self.inner.kpi_snapshot(first, last, after)).await
    }

    async fn correct_steps(
        &self,
        revision: i64,
        counted: Arc<Vec<((Uuid, Date), Steps)>>,
        until: i64,
    ) -> Result<Option<i64>> {
        self.forward(self.inner.correct_steps(revision, counted, until)).await
    }

    async fn correct_sums(&self, revision: i64, changes: Arc<Days>) -> Result<Option<i64>> {
        self.forward(self.inner.correct_sums(revision, changes)).await
    }

    async fn rebuild_uids(&self, progress: Progress<'_>) -> Result<()> {
        self.forward(self.inner.rebuild_uids(progress)).await
    }
}
