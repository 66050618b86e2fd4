//! Storage of budgets.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{BudgetUse, Budgets, UseKey};
use crate::Result;

/// Stores budgets. They change in [`ControlStore::commit`]; the ledger keeps what is used of them.
///
/// [`ControlStore::commit`]: crate::store::ControlStore::commit
#[async_trait]
pub trait BudgetStore: Send + Sync {
    /// All budgets in order of id, without groups of runs.
    async fn budgets(&self) -> Result<Budgets>;

    /// The groups of these runs. Runs without a group are left out.
    async fn groups_of_runs(&self, run_ids: &[String]) -> Result<BTreeMap<String, String>>;

    /// At most `limit` uses of a budget in these windows, at most 500, those of which most was used first,
    /// and the number of all.
    async fn largest_uses(
        &self,
        budget: &str,
        periods: &[String],
        limit: usize,
    ) -> Result<(Vec<(UseKey, BudgetUse)>, i64)>;

    /// Marks a budget as counted, if it is still the one that was defined in that revision.
    async fn mark_counted(&self, budget: &str, defined: u64) -> Result<()>;
}
