//! Reads the figures that stop conditions compare.

use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};

use crate::Result;
use crate::clock::day_of;
use crate::guardrail::{Observed, SpentBudget};
use crate::llm::{BudgetRefusals, Refusal};
use crate::run::RunRecord;
use crate::settings::{Effective, key};
use crate::store::RunStore;
use crate::usage::CallFacts;

/// Observations less than this apart count as one check of the pool.
const CHECK_INTERVAL: SignedDuration = SignedDuration::from_secs(1);

/// Reads the figures, and counts the consecutive checks with the pool under pressure.
#[derive(Debug, Default)]
pub(crate) struct Observer {
    pool: Mutex<Streak>,
    refusals: Option<Arc<BudgetRefusals>>,
}

#[derive(Debug, Default)]
struct Streak {
    checked_at: Option<Timestamp>,
    checks: i64,
}

impl Observer {
    /// An observer that also sees the calls that were refused in this process.
    pub(crate) fn with_refusals(refusals: Arc<BudgetRefusals>) -> Self {
        Self { refusals: Some(refusals), ..Self::default() }
    }

    /// Discards the run's refused call, after the run was stopped for it or its gate moved.
    pub(crate) fn forget_refusal(&self, run_id: &str) {
        if let Some(refusals) = &self.refusals {
            refusals.remove(run_id);
        }
    }

    /// Reads the figures of `run`, and of the deployment, at `now`.
    ///
    /// # Errors
    /// The store failed. The check of the pool counts even then.
    pub(crate) async fn observe(
        &self,
        store: &dyn RunStore,
        run: Option<&RunRecord>,
        settings: &Effective,
        now: Timestamp,
    ) -> Result<Observed> {
        // Check the pool before any call of the store: if the pool is exhausted, the call may fail,
        // and exactly then the check must count.
        let pool_utilization = store.pool_utilization();
        let under_pressure = pool_utilization >= settings.float(key::STOP_POOL_UTILIZATION);
        let pool_checks = self.count(under_pressure, now);
        let window = SignedDuration::from_mins(settings.int(key::STOP_FAILURE_WINDOW));
        let failures = match run {
            Some(run) => {
                // What failed before an operator let the run go on does not stop it again.
                let since = run.open_since.map_or(now - window, |open| open.max(now - window));
                store.failure_window(&run.run_id, since).await?
            }
            None => Default::default(),
        };
        let refusal = match (&self.refusals, run) {
            (Some(refusals), Some(run)) => refusals.on_day(&run.run_id, day_of(now)),
            _ => None,
        };
        let spent_budget = match (&refusal, run) {
            (Some(refusal), Some(run)) => spent_budget(store, run, refusal, now).await?,
            _ => None,
        };
        Ok(Observed {
            refused_call: refusal.as_ref().and_then(Refusal::needed_of_day),
            spent_budget,
            cost_today: store.day_totals(day_of(now)).await?.cost,
            failed_calls: failures.failed,
            window_calls: failures.calls,
            pool_utilization,
            pool_checks,
        })
    }

    fn count(&self, under_pressure: bool, now: Timestamp) -> i64 {
        // A poisoned lock is safe to use: the streak is never left half changed.
        let mut streak = self.pool.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let due = streak.checked_at.is_none_or(|at| now.duration_since(at) >= CHECK_INTERVAL);
        if !under_pressure {
            *streak = Streak { checked_at: Some(now), checks: 0 };
        } else if due {
            *streak = Streak { checked_at: Some(now), checks: streak.checks + 1 };
        }
        streak.checks
    }
}

/// The first budget that ends runs and cannot pay for the call of `run` that was refused. It need not be
/// the one that the refusal names, which may be that of an agent.
async fn spent_budget(
    store: &dyn RunStore,
    run: &RunRecord,
    refusal: &Refusal,
    now: Timestamp,
) -> Result<Option<SpentBudget>> {
    let call = CallFacts::of_run(&run.run_id, day_of(now));
    let budgets = store.budgets().await?;
    let ending: Vec<_> = budgets
        .list
        .iter()
        .filter(|budget| budget.scope.ends_runs())
        .filter_map(|budget| {
            Some((budget.use_of(&call, run.group_id.as_deref())?, budget.hard?, budget))
        })
        .collect();
    if ending.is_empty() {
        return Ok(None);
    }
    let keys: Vec<_> = ending.iter().map(|(key, ..)| key.clone()).collect();
    let uses = store.budget_uses(&keys).await?;
    let spent = ending.into_iter().find_map(|(key, hard, budget)| {
        let spent = uses.get(&key).copied().unwrap_or_default().settled;
        let needed = refusal.calls.iter().map(|call| call.needed.of(budget.unit)).min()?;
        let [figure, limit] = [spent, hard].map(|amount| budget.unit.figure(amount));
        let is_spent = spent.saturating_add(needed) > hard;
        is_spent.then_some(SpentBudget { id: budget.id.clone(), spent: figure, hard: limit })
    });
    Ok(spent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_consecutive_checks_a_second_apart_are_counted() {
        let observer = Observer::default();
        let at = |millis| Timestamp::from_millisecond(millis).unwrap();
        assert_eq!(observer.count(true, at(0)), 1);
        assert_eq!(observer.count(true, at(500)), 1);
        assert_eq!(observer.count(true, at(1_000)), 2);
        assert_eq!(observer.count(false, at(1_500)), 0);
        assert_eq!(observer.count(true, at(2_500)), 1);
    }
}
