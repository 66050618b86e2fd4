//! Calls counted: what a batch touches is copied out of the lists, and its changes are copied back.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;
use uuid::Uuid;

use super::{Data, MemoryStore};
use crate::Result;
use crate::usage::{
    Admission, BudgetUse, Caps, CounterStatus, DayUse, Footprint, Lease, LedgerBatch, Loaded, Op,
    Outcome, UsageCounter, UsageRow, UseKey,
};

#[async_trait]
impl UsageCounter for MemoryStore {
    async fn reserve(&self, lease: &Lease, caps: &Caps) -> Result<Admission> {
        self.data().apply(&Op::Reserve(Box::new(lease.clone()), *caps))?.admission()
    }

    async fn settle(&self, row: &UsageRow) -> Result<()> {
        self.data().apply(&Op::Settle(vec![row.clone()])).map(drop)
    }

    async fn release(&self, lease_id: Uuid) -> Result<()> {
        self.data().apply(&Op::Release(lease_id)).map(drop)
    }

    async fn expire(&self, now: Timestamp) -> Result<u64> {
        self.data().apply(&Op::Expire(now))?.expired()
    }

    async fn day_use(&self, day: Date) -> Result<DayUse> {
        Ok(self.data().day_uses.get(&day).copied().unwrap_or_default())
    }

    async fn budget_uses(&self, keys: &[UseKey]) -> Result<BTreeMap<UseKey, BudgetUse>> {
        let data = self.data();
        let of = |key: &UseKey| Some((key.clone(), *data.budget_uses.get(key)?));
        Ok(keys.iter().filter_map(of).collect())
    }

    fn health(&self) -> CounterStatus {
        CounterStatus::healthy("memory")
    }
}

impl Data {
    pub(super) fn apply(&mut self, op: &Op) -> Result<Outcome> {
        let mut batch = LedgerBatch::new(self.load(Footprint::of([op])));
        let outcome = batch.apply(op)?;
        let changes = batch.into_changes();
        self.leases.retain(|id, _| !changes.ended.contains(id));
        self.leases.extend(changes.opened.into_iter().map(|lease| (lease.id, lease)));
        for row in changes.replaced {
            self.usage.iter_mut().filter(|old| old.id == row.id).for_each(|old| *old = row.clone());
        }
        self.usage.extend(changes.inserted);
        self.day_uses.extend(changes.days);
        self.run_totals.extend(changes.runs);
        self.budget_uses.extend(changes.uses);
        Ok(outcome)
    }

    fn load(&self, mut footprint: Footprint) -> Loaded {
        let is_touched = |lease: &&Lease| {
            footprint.ids.contains(&lease.id)
                || footprint.due.is_some_and(|now| lease.expires_at < now)
        };
        let leases: Vec<_> = self.leases.values().filter(is_touched).cloned().collect();
        leases.iter().for_each(|lease| footprint.add_lease(lease));
        let rows = self.usage.iter().filter(|row| footprint.ids.contains(&row.id));
        let rows: Vec<_> = rows.cloned().collect();
        rows.iter().for_each(|row| footprint.add_row(row));
        let budgets = self.all_budgets();
        let uses = footprint.uses(&budgets).into_iter();
        let days = footprint.days.into_iter();
        let runs = footprint.runs.into_iter();
        Loaded {
            epoch: self.counter_epoch.clone(),
            clients: self.counter_clients.values().cloned().collect(),
            leases,
            rows,
            days: days.filter_map(|day| Some((day, *self.day_uses.get(&day)?))).collect(),
            runs: runs
                .filter_map(|run_id| self.run_totals.get(&run_id).map(|sum| (run_id, *sum)))
                .collect(),
            uses: uses
                .filter_map(|key| Some((key.clone(), *self.budget_uses.get(&key)?)))
                .collect(),
            budgets,
        }
    }
}
