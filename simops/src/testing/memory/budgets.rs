//! Budgets and what is used of them.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Data, MemoryStore};
use crate::Result;
use crate::usage::{BudgetChange, BudgetStore, BudgetUse, Budgets, CounterBackend, UseKey};

#[async_trait]
impl BudgetStore for MemoryStore {
    async fn budgets(&self) -> Result<Budgets> {
        Ok(Budgets { groups: BTreeMap::new(), ..self.data().all_budgets() })
    }

    async fn groups_of_runs(&self, run_ids: &[String]) -> Result<BTreeMap<String, String>> {
        let groups = self.data().all_budgets().groups.into_iter();
        Ok(groups.filter(|(run_id, _)| run_ids.contains(run_id)).collect())
    }

    async fn largest_uses(
        &self,
        budget: &str,
        periods: &[String],
        limit: usize,
    ) -> Result<(Vec<(UseKey, BudgetUse)>, i64)> {
        let data = self.data();
        let uses = data.budget_uses.iter();
        let uses = uses.filter(|(key, _)| key.budget == budget && periods.contains(&key.period));
        let mut uses: Vec<_> = uses.map(|(key, used)| (key.clone(), *used)).collect();
        let all = i64::try_from(uses.len()).unwrap_or(i64::MAX);
        uses.sort_by_key(|(_, used)| Reverse(used.settled));
        uses.truncate(limit);
        Ok((uses, all))
    }

    async fn mark_counted(&self, budget: &str, defined: u64) -> Result<()> {
        let mut data = self.data();
        let mut budgets = data.budgets.iter_mut();
        let Some(budget) = budgets.find(|known| known.id == budget && known.defined == defined)
        else {
            return Ok(());
        };
        budget.counted = true;
        data.counter_epoch.budgets += 1;
        drop(data);
        self.notify_watchers();
        Ok(())
    }
}

impl Data {
    /// All budgets, and the groups of all runs.
    pub(super) fn all_budgets(&self) -> Budgets {
        let group = |run: &crate::run::RunRecord| Some((run.run_id.clone(), run.group_id.clone()?));
        Budgets {
            revision: self.counter_epoch.budgets,
            list: Arc::new(self.budgets.clone()),
            groups: self.runs.iter().filter_map(group).collect(),
        }
    }

    pub(super) fn change_budgets(&mut self, changes: &[BudgetChange]) {
        if changes.is_empty() {
            return;
        }
        self.counter_epoch.budgets += 1;
        for change in changes {
            let (id, put) = match change {
                BudgetChange::Put(budget) => (&budget.id, Some(budget)),
                BudgetChange::Delete(id) => (id, None),
            };
            let before = self.budgets.iter().find(|budget| budget.id == *id).cloned();
            let kept = before.filter(|before| put.is_some_and(|put| put.counts_as(before)));
            self.budgets.retain(|budget| budget.id != *id);
            if let Some(put) = put {
                let revision = self.counter_epoch.budgets;
                self.budgets.push(put.clone().following(kept.as_ref(), revision));
                self.budgets.sort_by(|one, other| one.id.cmp(&other.id));
            }
            if kept.is_some() {
                continue;
            }
            self.usage_revision += 1;
            self.budget_uses.retain(|key, _| key.budget != *id);
            let budgets = self.all_budgets();
            for lease in self.leases.values() {
                for (key, amount) in budgets.amounts_of_lease(lease) {
                    if key.budget == *id {
                        self.budget_uses.entry(key).or_default().reserved += amount;
                    }
                }
            }
            if put.is_some() && self.counter_epoch.backend != CounterBackend::Database {
                let since = self.counter_epoch.since;
                self.counter_epoch = self.counter_epoch.next(CounterBackend::Database, since);
            }
        }
    }
}
