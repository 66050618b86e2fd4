//! What the decision about a budget needs to know.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::Executor;
use crate::clock::day_of;
use crate::control::ControlState;
use crate::control::budgets::WouldEnd;
use crate::run::{RunGate, RunRecord};
use crate::settings::key;
use crate::store::RunFilter;
use crate::usage::{Budget, BudgetScope, Budgets, CallFacts, Caps, UseKey};
use crate::{Error, Result};

/// Rows of the ledger that are read at once.
const PIECE: usize = 10_000;
/// More runs than a group has.
const ALL: usize = 100_000;

impl Executor {
    /// The first running run whose next call `budget` would refuse, and which would end by that.
    pub(super) async fn run_to_end(
        &self,
        state: &ControlState,
        known: &Budgets,
        budget: &Budget,
        now: Timestamp,
    ) -> Result<Option<WouldEnd>> {
        let Some(hard) = budget.hard.filter(|_| budget.scope.ends_runs()) else { return Ok(None) };
        let day = day_of(now);
        let use_of = |run: &RunRecord| {
            budget.use_of(&CallFacts::of_run(&run.run_id, day), run.group_id.as_deref())
        };
        let running = state.open_runs().filter(|run| run.gate() == RunGate::Open);
        let counted: Vec<_> = running.filter_map(|run| Some((run, use_of(run)?))).collect();
        if counted.is_empty() {
            return Ok(None);
        }
        let same = known.get(&budget.id).filter(|known| known.counts_as(budget) && known.counted);
        let spent = match same {
            Some(_) => {
                let keys: Vec<_> = counted.iter().map(|(_, key)| key.clone()).collect();
                let uses = self.store.budget_uses(&keys).await?.into_iter();
                uses.map(|(key, used)| (key, used.settled)).collect()
            }
            None => self.spent_of(budget).await?,
        };
        let spent_by = |key: &UseKey| spent.get(key).copied().unwrap_or_default();
        let reached = counted.iter().find(|(_, key)| spent_by(key) >= hard);
        Ok(reached.map(|(run, key)| WouldEnd {
            run_id: run.run_id.clone(),
            spent: budget.unit.shown(spent_by(key)),
        }))
    }

    /// Checks that the budgets that end runs can pay for a call of a run.
    ///
    /// # Errors
    /// Returns `Conflict` with the figures of the first one that is spent: the guardrail would stop the
    /// run at once.
    pub(super) async fn check_affordable(
        &self,
        state: &ControlState,
        run_id: &str,
        group: Option<&str>,
        now: Timestamp,
    ) -> Result<()> {
        let settings = state.effective(&self.registry);
        if !settings.flag(key::STOP_ENABLED) {
            return Ok(());
        }
        let day = day_of(now);
        if let Some(hard) = Caps::of(&settings).hard {
            let spent = self.store.day_totals(day).await?.cost;
            if spent >= hard {
                return Err(Error::conflict(format!(
                    "today's budget is spent: {} of {} USD; raise {} or wait until midnight UTC",
                    spent.dollars(),
                    hard.dollars(),
                    key::BUDGET_HARD,
                )));
            }
        }
        let call = CallFacts::of_run(run_id, day);
        let budgets = self.store.budgets().await?;
        let ending: Vec<_> = budgets
            .list
            .iter()
            .filter(|budget| budget.scope.ends_runs())
            .filter_map(|budget| Some((budget.use_of(&call, group)?, budget.hard?, budget)))
            .collect();
        let keys: Vec<_> = ending.iter().map(|(key, ..)| key.clone()).collect();
        let uses = self.store.budget_uses(&keys).await?;
        for (key, hard, budget) in ending {
            let spent = uses.get(&key).copied().unwrap_or_default().settled;
            if spent >= hard {
                let (spent, hard) = (budget.unit.shown(spent), budget.unit.shown(hard));
                let unit = budget.unit.as_str();
                let Budget { id, window, .. } = budget;
                let window = window.as_str();
                return Err(Error::conflict(format!(
                    "budget {id} is spent: {spent} of {hard} {unit} in its window ({window}); raise it \
                     (PUT budgets/{id}, `simops-cli budgets set {id}`) or delete it"
                )));
            }
        }
        Ok(())
    }

    /// What the rows of the ledger say of a budget that is not defined yet.
    async fn spent_of(&self, budget: &Budget) -> Result<BTreeMap<UseKey, i64>> {
        let mut groups = BTreeMap::new();
        if budget.scope == BudgetScope::Group {
            let group = Some(budget.key.clone()).filter(|key| !key.contains('*'));
            let filter = RunFilter { group_id: group, ..RunFilter::page(None, ALL) };
            let runs = self.store.runs(&filter).await?.items.into_iter();
            groups.extend(runs.filter_map(|run| Some((run.run_id, run.group_id?))));
        }
        let list = vec![budget.clone()];
        let budgets = Arc::new(Budgets { list: Arc::new(list), groups, ..Budgets::default() });
        let (mut spent, mut after) = (BTreeMap::<UseKey, i64>::new(), 0);
        loop {
            let piece = self.store.count_calls(after, i64::MAX, PIECE, &budgets).await?;
            if piece.rows == 0 {
                return Ok(spent);
            }
            after = piece.until;
            for (key, amount) in piece.uses {
                let sum = spent.entry(key).or_default();
                *sum = sum.saturating_add(amount);
            }
        }
    }
}
