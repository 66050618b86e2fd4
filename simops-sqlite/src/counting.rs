//! Ledger operations in one transaction: load what they touch, apply them, write what changed. The
//! rules are those of [`LedgerBatch`].
//!
//! The writer applies the operations of all callers that wait as one batch, so that they share the
//! reads and writes of sums as well as the commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::Connection;
use simops::store::sql::{
    all_budgets, budget_use, counter_clients, day_use, due_leases, epoch, groups_of_runs,
    put_budget_use, put_day_use, put_run_totals, run_totals,
};
use simops::usage::{
    Budgets, Changes, CounterEpoch, Footprint, Lease, LedgerBatch, Loaded, Op, Outcome,
};
use simops::{Error, Result};

use crate::codec::{all, execute, first, one};
use crate::error::Work;
use crate::ledger_rows;

/// Most leases that expire in one transaction.
const EXPIRE_BATCH: i64 = 500;

/// Applies one operation.
pub(crate) fn apply_one(connection: &Connection, op: &Op) -> Work<Outcome> {
    let outcome = apply(connection, &[op])?.pop();
    Ok(outcome.unwrap_or_else(|| Err(Error::internal("an operation has no outcome")))?)
}

/// Applies operations as one batch.
pub(crate) fn apply(connection: &Connection, ops: &[&Op]) -> Work<Vec<Result<Outcome>>> {
    let mut batch = LedgerBatch::new(load(connection, ops)?);
    let outcomes = ops.iter().map(|op| batch.apply(op)).collect();
    write(connection, &batch.into_changes())?;
    Ok(outcomes)
}

fn load(connection: &Connection, ops: &[&Op]) -> Work<Loaded> {
    let epoch: CounterEpoch = one(connection, &epoch())?;
    let clients = match epoch.generation {
        0 => Vec::new(),
        _ => all(connection, &counter_clients())?,
    };
    let mut footprint = Footprint::of(ops.iter().copied());
    let mut leases = ledger_rows::leases(connection, &footprint.ids)?;
    if let Some(now) = footprint.due {
        let due: Vec<Lease> = all(connection, &due_leases(now, EXPIRE_BATCH))?;
        leases.extend(due.into_iter().filter(|lease| !footprint.ids.contains(&lease.id)));
    }
    leases.iter().for_each(|lease| footprint.add_lease(lease));
    let rows = ledger_rows::calls(connection, &footprint.ids)?;
    rows.iter().for_each(|row| footprint.add_row(row));
    let budgets = budgets(connection, epoch.budgets, &footprint)?;
    let (mut days, mut runs, mut uses) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for key in footprint.uses(&budgets) {
        let used = first(connection, &budget_use(&key))?.unwrap_or_default();
        uses.insert(key, used);
    }
    for day in footprint.days {
        days.insert(day, first(connection, &day_use(day))?.unwrap_or_default());
    }
    for run_id in footprint.runs {
        let totals = first(connection, &run_totals(&run_id))?.unwrap_or_default();
        runs.insert(run_id, totals);
    }
    Ok(Loaded { epoch, clients, leases, rows, days, runs, budgets, uses })
}

/// The budgets of that revision, with the groups of the runs of a footprint.
fn budgets(connection: &Connection, revision: u64, footprint: &Footprint) -> Work<Budgets> {
    if revision == 0 {
        return Ok(Budgets::default());
    }
    let list = Arc::new(all(connection, &all_budgets())?);
    let mut budgets = Budgets { revision, list, ..Budgets::default() };
    if budgets.need_groups() {
        let runs: Vec<_> = footprint.runs.iter().cloned().collect();
        for groups in groups_of_runs(&runs) {
            budgets.groups.extend(all::<(String, String)>(connection, &groups)?);
        }
    }
    Ok(budgets)
}

fn write(connection: &Connection, changes: &Changes) -> Work<()> {
    ledger_rows::delete_leases(connection, &changes.ended)?;
    ledger_rows::insert_leases(connection, &changes.opened)?;
    ledger_rows::insert_calls(connection, &changes.inserted)?;
    ledger_rows::replace_calls(connection, &changes.replaced)?;
    for (day, sums) in &changes.days {
        execute(connection, &put_day_use(*day, sums))?;
    }
    for (run_id, sums) in &changes.runs {
        execute(connection, &put_run_totals(run_id, sums))?;
    }
    for (key, used) in &changes.uses {
        execute(connection, &put_budget_use(key, used))?;
    }
    Ok(())
}
