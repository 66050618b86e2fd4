//! Rows of budgets and of what is used of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{SqlOperation, SqlRecord, SqlRow, SqlTx, Statement, in_parts, later_column, upsert};
use crate::usage::{Budget, BudgetUse, Budgets, UseKey};

pub(super) const BUDGET_COLUMNS: &str =
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

/// The sums of a use of a budget.
pub const USE_SUMS: &str = "settled, reserved, pruned, version";

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
    Statement::new(
        "SELECT settled, reserved, pruned, version FROM budget_use \
         WHERE budget = $1 AND period = $2 AND part = $3",
    )
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
pub(super) fn groups_of_all_runs() -> Statement {
    Statement::new("SELECT run_id, group_id FROM runs WHERE group_id IS NOT NULL")
}

/// The revision of the budgets; 0 in a schema of an earlier version.
fn budgets_revision() -> Statement {
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
            budgets.list = Arc::new(tx.fetch_all(&all_budgets()).await?);
        }
        if self.with_groups && budgets.need_groups() {
            let groups: Vec<(String, String)> = tx.fetch_all(&groups_of_all_runs()).await?;
            budgets.groups = groups.into_iter().collect();
        }
        Ok(budgets)
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
