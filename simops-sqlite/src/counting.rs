//! Ledger operations in one transaction: load what they touch, apply them, write what changed. The
//! rules are those of [`LedgerBatch`].
//!
//! The writer applies the operations of all callers that wait as one batch, so that they share the
//! reads and writes of sums as well as the commit.

use std::collections::BTreeMap;

use rusqlite::Connection;
use simops::usage::{Changes, Footprint, LedgerBatch, Loaded, Op, Outcome};
use simops::{Error, Result};

use crate::days::{day_use, put_day_use};
use crate::error::Work;
use crate::{counter_epoch_rows, lease_rows, usage_rows};

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
    let epoch = counter_epoch_rows::epoch(connection)?;
    let clients = match epoch.generation {
        0 => Vec::new(),
        _ => counter_epoch_rows::clients(connection)?,
    };
    let mut footprint = Footprint::of(ops.iter().copied());
    let mut leases = lease_rows::of_ids(connection, &footprint.ids)?;
    if let Some(now) = footprint.due {
        let due = lease_rows::due(connection, now, EXPIRE_BATCH)?;
        leases.extend(due.into_iter().filter(|lease| !footprint.ids.contains(&lease.id)));
    }
    leases.iter().for_each(|lease| footprint.add_lease(lease));
    let rows = usage_rows::of_ids(connection, &footprint.ids)?;
    rows.iter().for_each(|row| footprint.add_row(row));
    let (mut days, mut runs) = (BTreeMap::new(), BTreeMap::new());
    for day in footprint.days {
        days.insert(day, day_use(connection, day)?);
    }
    for run_id in footprint.runs {
        let totals = usage_rows::run_totals(connection, &run_id)?;
        runs.insert(run_id, totals);
    }
    Ok(Loaded { epoch, clients, leases, rows, days, runs })
}

fn write(connection: &Connection, changes: &Changes) -> Work<()> {
    lease_rows::delete(connection, &changes.ended)?;
    lease_rows::insert(connection, &changes.opened)?;
    usage_rows::insert(connection, &changes.inserted)?;
    usage_rows::replace(connection, &changes.replaced)?;
    for (day, sums) in &changes.days {
        put_day_use(connection, *day, sums)?;
    }
    for (run_id, sums) in &changes.runs {
        usage_rows::put_run_totals(connection, run_id, *sums)?;
    }
    Ok(())
}
