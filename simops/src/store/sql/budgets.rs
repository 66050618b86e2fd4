//! Changes and listings of budgets.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;

use super::budget_rows::{
    BUDGET_COLUMNS, ReadBudgets, USE_COLUMNS, groups_of_all_runs, groups_of_runs, put_budget_use,
};
use super::{SqlOperation, SqlStore, SqlTx, Statement, all_leases, count, upsert};
use crate::Result;
use crate::usage::{
    Budget, BudgetChange, BudgetStore, BudgetUse, Budgets, CounterBackend, Lease, UseKey,
};

/// Stores changes of budgets. If calls are counted in Redis, the database counts them from now on:
/// Redis is built again with the budgets as they are now.
///
/// # Errors
/// Those of the store.
pub(super) async fn change_budgets<T: SqlTx>(
    tx: &mut T,
    changes: &[BudgetChange],
    now: Timestamp,
) -> Result<(), T::Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let epoch = super::lock_counter(tx).await?;
    let revision = epoch.budgets + 1;
    let (mut counts_others, mut new) = (false, Vec::new());
    for change in changes {
        let (id, put) = match change {
            BudgetChange::Put(budget) => (&budget.id, Some(budget)),
            BudgetChange::Delete(id) => (id, None),
        };
        let sql = format!("SELECT {BUDGET_COLUMNS} FROM budgets WHERE id = $1");
        let before: Option<Budget> =
            tx.fetch_optional(&Statement::new(sql).bind(id.as_str())).await?;
        let kept = before.filter(|before| put.is_some_and(|put| put.counts_as(before)));
        if kept.is_none() {
            counts_others = true;
            for table in ["budget_use WHERE budget", "budgets WHERE id"] {
                let delete = format!("DELETE FROM {table} = $1");
                tx.execute(&Statement::new(delete).bind(id.as_str())).await?;
            }
        }
        let Some(put) = put else { continue };
        let budget = put.clone().following(kept.as_ref(), revision);
        tx.execute(&put_budget(&budget)).await?;
        if kept.is_none() {
            new.push(budget);
        }
    }
    count_open_leases(tx, new.clone()).await?;
    let mut next =
        Statement::new("UPDATE fence SET budgets = budgets + 1, corrections = corrections + $1");
    // A recount that has begun counts for the budgets as they were.
    next = next.bind(i64::from(counts_others));
    tx.execute(&next).await?;
    if !new.is_empty() && epoch.backend != CounterBackend::Database {
        let database = "UPDATE fence SET generation = generation + 1, counted_in = $1, \
                            redis = NULL, since = $2, reason = NULL";
        let database = Statement::new(database).bind_word(&CounterBackend::Database).bind(now);
        tx.execute(&database).await?;
    }
    Ok(())
}

/// Stores what open leases reserve of `new` budgets, so that their ends find it. What the ledger says
/// is counted later.
async fn count_open_leases<T: SqlTx>(tx: &mut T, new: Vec<Budget>) -> Result<(), T::Error> {
    let mut new = Budgets { list: Arc::new(new), ..Budgets::default() };
    if new.need_groups() {
        let groups: Vec<(String, String)> = tx.fetch_all(&groups_of_all_runs()).await?;
        new.groups = groups.into_iter().collect();
    }
    let mut uses = BTreeMap::<UseKey, BudgetUse>::new();
    let leases: Vec<Lease> = match new.list.is_empty() {
        true => Vec::new(),
        false => tx.fetch_all(&all_leases()).await?,
    };
    for lease in &leases {
        for (key, amount) in new.amounts_of_lease(lease) {
            let used = uses.entry(key).or_default();
            used.reserved = used.reserved.saturating_add(amount);
        }
    }
    for (key, used) in &uses {
        tx.execute(&put_budget_use(key, used)).await?;
    }
    Ok(())
}

fn put_budget(budget: &Budget) -> Statement {
    Statement::new(upsert("budgets", "id", BUDGET_COLUMNS))
        .bind(&budget.id)
        .bind_word(&budget.scope)
        .bind(&budget.key)
        .bind_word(&budget.window)
        .bind_word(&budget.unit)
        .bind(budget.soft)
        .bind(budget.hard)
        .bind(budget.since)
        .bind(budget.counted)
        .bind(budget.defined)
}

#[async_trait]
impl<S: SqlStore> BudgetStore for S {
    async fn budgets(&self) -> Result<Budgets> {
        self.read(ReadBudgets { with_groups: false }).await
    }

    async fn groups_of_runs(&self, run_ids: &[String]) -> Result<BTreeMap<String, String>> {
        let groups: Vec<(String, String)> = self.fetch_each(groups_of_runs(run_ids)).await?;
        Ok(groups.into_iter().collect())
    }

    async fn largest_uses(
        &self,
        budget: &str,
        periods: &[String],
        limit: usize,
    ) -> Result<(Vec<(UseKey, BudgetUse)>, i64)> {
        let (budget, periods) = (budget.to_owned(), periods.to_owned());
        self.read(LargestUses { budget, periods, limit }).await
    }

    async fn mark_counted(&self, budget: &str, defined: u64) -> Result<()> {
        self.write(MarkCounted { budget: budget.to_owned(), defined }).await
    }
}

struct LargestUses {
    budget: String,
    periods: Vec<String>,
    limit: usize,
}

impl SqlOperation for LargestUses {
    type Output = (Vec<(UseKey, BudgetUse)>, i64);

    async fn run<T: SqlTx>(&self, tx: &mut T) -> Result<Self::Output, T::Error> {
        let places: Vec<_> = (2..self.periods.len() + 2).map(|place| format!("${place}")).collect();
        let of_windows =
            format!("FROM budget_use WHERE budget = $1 AND period IN ({})", places.join(", "));
        let bound = |sql: String| {
            let statement = Statement::new(sql).bind(&self.budget);
            self.periods.iter().fold(statement, Statement::bind)
        };
        let all = tx.fetch_one(&bound(format!("SELECT count(*) {of_windows}"))).await?;
        let limit = places.len() + 2;
        let largest = bound(format!(
            "SELECT {USE_COLUMNS} {of_windows} ORDER BY settled DESC, period, part LIMIT ${limit}"
        ));
        Ok((tx.fetch_all(&largest.bind(count(self.limit))).await?, all))
    }
}

struct MarkCounted {
    budget: String,
    defined: u64,
}

impl SqlOperation for MarkCounted {
    type Output = ();

    fn is_repeatable(&self) -> bool {
        true
    }

    async fn run<T: SqlTx>(&self, tx: &mut T) -> Result<(), T::Error> {
        super::lock_counter(tx).await?;
        let mark = "UPDATE budgets SET counted = $1 WHERE id = $2 AND defined = $3";
        let mark = Statement::new(mark).bind(true).bind(&self.budget).bind(self.defined);
        if tx.execute(&mark).await? > 0 {
            tx.execute(&Statement::new("UPDATE fence SET budgets = budgets + 1")).await?;
            tx.notify_watchers();
        }
        Ok(())
    }
}
