//! Ledger operations in one transaction: load what they touch, apply them, write what changed. The
//! rules are those of [`LedgerBatch`].
//!
//! The writer applies the operations of all callers that wait as one batch, so that they share the
//! reads and writes of sums as well as the commit.

use std::collections::BTreeMap;

use rusqlite::Connection;
use simops::store::sql::{
    counter_clients, day_use, due_leases, epoch, put_day_use, put_run_totals, run_totals,
};
use simops::usage::{Changes, CounterEpoch, Footprint, Lease, LedgerBatch, Loaded, Op, Outcome};
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
    let (mut days, mut runs) = (BTreeMap::new(), BTreeMap::new());
    for day in footprint.days {
        days.insert(day, first(connection, &day_use(day))?.unwrap_or_default());
    }
    for run_id in footprint.runs {
        let totals = first(connection, &run_totals(&run_id))?.unwrap_or_default();
        runs.insert(run_id, totals);
    }
    Ok(Loaded { epoch, clients, leases, rows, days, runs })
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
    Ok(())
}
