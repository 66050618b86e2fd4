//! Budgets and what is used of them.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;

use super::{SqlOperation, SqlRecord, SqlRow, SqlStore, SqlTx, Statement};
use super::{all_leases, count, in_parts, later_column, upsert};
use crate::Result;
use crate::usage::{
    Budget, BudgetChange, BudgetStore, BudgetUse, Budgets, CounterBackend, Lease, UseKey,
};

const BUDGET_COLUMNS: &str =
    "id, scope, key, time_window, unit, soft, hard, since, counted, defined";

impl SqlRecord for Budget {
    fn read<R: SqlRow>(row: &mut R) -> Result<Self, R::Error> {
        Ok(Self {
            id: row.text()?,
            scope: row.word()?,
            key: row.text()?,
            window: row.word()?,
            unit: row.word()?,
            soft: row.optional(R::int)?,
            hard: row.optional(R::int)?,
            since: row.day()?,
            counted: row.flag()?,
            defined: row.int()?.cast_unsigned(),
        })
    }
}

/// The columns that name a use of a budget.
pub const USE_KEY: &str = "budget, period, part";

/// The columns of a use of a budget.
pub const USE_COLUMNS: &str = "budget, period, part, settled, reserved, pruned, version";

impl SqlRecord for UseKey {
    fn read<R: SqlRow>(row: &mut R) -> Result<Self, R::Error> {
        Ok(Self { budget: row.text()?, period: row.text()?, part: row.text()? })
    }
}

impl SqlRecord for BudgetUse {
    fn read<R: SqlRow>(row: &mut R) -> Result<Self, R::Error> {
        Ok(Self {
            settled: row.int()?,
            reserved: row.int()?,
            pruned: row.int()?,
            version: row.int()?.cast_unsigned(),
        })
    }
}

/// The query of all budgets.
pub fn all_budgets() -> Statement {
    Statement::new(format!("SELECT {BUDGET_COLUMNS} FROM budgets ORDER BY id"))
}

/// The query of a use of a budget.
pub fn budget_use(key: &UseKey) -> Statement {
    Statement::new(format!(
        "SELECT settled, reserved, pruned, version FROM budget_use \
         WHERE budget = $1 AND period = $2 AND part = $3"
    ))
    .bind(&key.budget)
    .bind(&key.period)
    .bind(&key.part)
}

/// Replaces a use of a budget.
pub fn put_budget_use(key: &UseKey, used: &BudgetUse) -> Statement {
    Statement::new(upsert("budget_use", USE_KEY, USE_COLUMNS))
        .bind(&key.budget)
        .bind(&key.period)
        .bind(&key.part)
        .bind_all([used.settled, used.reserved, used.pruned, used.version.cast_signed()])
}

/// The queries of the groups of these runs, each with its run.
pub fn groups_of_runs(run_ids: &[String]) -> Vec<Statement> {
    let parts = in_parts("run_id", run_ids).map(|(is_wanted, part)| {
        let sql = "SELECT run_id, group_id FROM runs WHERE group_id IS NOT NULL AND";
        part.iter().fold(Statement::new(format!("{sql} {is_wanted}")), Statement::bind)
    });
    parts.collect()
}

/// The query of the groups of all runs, each with its run.
fn groups_of_all_runs() -> Statement {
    Statement::new("SELECT run_id, group_id FROM runs WHERE group_id IS NOT NULL")
}

/// The revision of the budgets; 0 in a schema of an earlier version.
pub(super) fn budgets_revision() -> Statement {
    Statement::new(format!(
        "SELECT {} FROM fence",
        later_column("fence", "id", ("budgets", "CAST(0 AS BIGINT)"))
    ))
}

/// All budgets, with the groups of all runs if they are needed.
pub(super) struct ReadBudgets {
    pub(super) with_groups: bool,
}

impl SqlOperation for ReadBudgets {
    type Output = Budgets;

    async fn run<T: SqlTx>(&self, tx: &mut T) -> Result<Budgets, T::Error> {
        let revision: i64 = tx.fetch_one(&budgets_revision()).await?;
        let mut budgets = Budgets { revision: revision.cast_unsigned(), ..Budgets::default() };
        if revision > 0 {
            budgets.list = tx.fetch_all(&all_budgets()).await?;
        }
        if self.with_groups && budgets.need_groups() {
            let groups: Vec<(String, String)> = tx.fetch_all(&groups_of_all_runs()).await?;
            budgets.groups = groups.into_iter().collect();
        }
        Ok(budgets)
    }
}

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
    let mut new = Budgets { list: new, ..Budgets::default() };
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
        period: &str,
        limit: usize,
    ) -> Result<(Vec<(UseKey, BudgetUse)>, i64)> {
        let (budget, period) = (budget.to_owned(), period.to_owned());
        self.read(LargestUses { budget, period, limit }).await
    }

    async fn mark_counted(&self, budget: &str, defined: u64) -> Result<()> {
        self.write(MarkCounted { budget: budget.to_owned(), defined }).await
    }
}

/// Reads uses of budgets. Those that are not stored are left out.
pub(super) struct ReadUses(pub(super) Vec<UseKey>);

impl SqlOperation for ReadUses {
    type Output = BTreeMap<UseKey, BudgetUse>;

    fn is_control(&self) -> bool {
        true
    }

    async fn run<T: SqlTx>(&self, tx: &mut T) -> Result<Self::Output, T::Error> {
        let mut uses = BTreeMap::new();
        for key in &self.0 {
            if let Some(used) = tx.fetch_optional(&budget_use(key)).await? {
                uses.insert(key.clone(), used);
            }
        }
        Ok(uses)
    }
}

struct LargestUses {
    budget: String,
    period: String,
    limit: usize,
}

impl SqlOperation for LargestUses {
    type Output = (Vec<(UseKey, BudgetUse)>, i64);

    async fn run<T: SqlTx>(&self, tx: &mut T) -> Result<Self::Output, T::Error> {
        let of_window = "FROM budget_use WHERE budget = $1 AND period = $2";
        let all = Statement::new(format!("SELECT count(*) {of_window}"));
        let all = tx.fetch_one(&all.bind(&self.budget).bind(&self.period)).await?;
        let largest = Statement::new(format!(
            "SELECT {USE_COLUMNS} {of_window} ORDER BY settled DESC, part LIMIT $3"
        ));
        let largest = largest.bind(&self.budget).bind(&self.period).bind(count(self.limit));
        Ok((tx.fetch_all(&largest).await?, all))
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
