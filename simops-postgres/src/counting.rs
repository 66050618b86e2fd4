//! Ledger operations in one transaction: load what they touch, apply them, write what changed. The
//! rules are those of [`LedgerBatch`].
//!
//! Whoever changes leases, ledger or sums holds the lock on the row of the counter's epoch. So
//! operations of all processes run one batch after another, admission and counting are atomic, and
//! there are no deadlocks. The operations of a batch share the lock and one commit.

use std::sync::Arc;

use jiff::ToSpan;
use jiff::civil::Date;
use simops::Result;
use simops::clock::day_of;
use simops::store::sql::{all_budgets, counter_clients, due_leases, groups_of_runs, lock_counter};
use simops::usage::{
    Budgets, CounterEpoch, Footprint, KnownBudgets, Lease, LedgerBatch, Loaded, Op, Outcome,
    UsageRow,
};
use uuid::Uuid;

use crate::codec::all;
use crate::connection::TxMode;
use crate::error::Work;
use crate::ledger_rows;
use crate::link::Link;
use crate::transaction::{Base, Tx};

/// Most leases that expire in one transaction.
const EXPIRE_BATCH: i64 = 500;

/// Applies the operations of several callers in one transaction. Every operation carries ids, so
/// the transaction is repeated if its connection is lost.
pub(crate) async fn apply(base: Base, ops: Vec<Op>) -> Result<Vec<Result<Outcome>>> {
    let ops = &ops;
    base.run(TxMode::Write, |mut tx| async move {
        let epoch = lock_counter(&mut tx).await?;
        let outcomes = apply_locked(&mut tx, ops, epoch).await?;
        Ok((tx, outcomes))
    })
    .await
}

/// Applies operations while `epoch` is locked.
pub(crate) async fn apply_locked(
    tx: &mut Tx,
    ops: &[Op],
    epoch: CounterEpoch,
) -> Work<Vec<Result<Outcome>>> {
    let mut batch = LedgerBatch::new(load(tx, ops, epoch).await?);
    let outcomes = ops.iter().map(|op| batch.apply(op)).collect();
    ledger_rows::write(tx, &batch.into_changes()).await?;
    Ok(outcomes)
}

async fn load(tx: &mut Tx, ops: &[Op], epoch: CounterEpoch) -> Work<Loaded> {
    let (ledger_by_time, known) = (tx.ledger_by_time, Arc::clone(&tx.budgets));
    let connection: &mut Link = tx;
    let mut footprint = Footprint::of(ops);
    let ids: Vec<_> = footprint.ids.iter().copied().collect();
    let mut leases = ledger_rows::leases(&mut *connection, &ids).await?;
    if let Some(now) = footprint.due {
        let due: Vec<Lease> = all(connection, &due_leases(now, EXPIRE_BATCH)).await?;
        leases.extend(due.into_iter().filter(|lease| !footprint.ids.contains(&lease.id)));
    }
    leases.iter().for_each(|lease| footprint.add_lease(lease));
    let rows = rows(connection, &footprint, ledger_by_time).await?;
    rows.iter().for_each(|row| footprint.add_row(row));
    let budgets = budgets(&mut *connection, &known, epoch.budgets, &footprint).await?;
    let uses = footprint.uses(&budgets);
    let uses = ledger_rows::budget_uses(&mut *connection, &uses).await?;
    let runs: Vec<_> = footprint.runs.into_iter().collect();
    Ok(Loaded {
        budgets,
        uses,
        clients: match epoch.generation {
            0 => Vec::new(),
            _ => all(connection, &counter_clients()).await?,
        },
        epoch,
        leases,
        rows,
        days: ledger_rows::day_uses(&mut *connection, footprint.days).await?,
        runs: ledger_rows::run_totals(connection, &runs).await?,
    })
}

/// The budgets of that revision, with the groups of the runs of a footprint.
async fn budgets(
    connection: &mut Link,
    known: &KnownBudgets,
    revision: u64,
    footprint: &Footprint,
) -> Work<Budgets> {
    if revision == 0 {
        return Ok(Budgets::default());
    }
    let mut budgets = match known.of(revision) {
        Some(budgets) => budgets,
        None => {
            let list = Arc::new(all(&mut *connection, &all_budgets()).await?);
            let budgets = Budgets { revision, list, ..Budgets::default() };
            known.keep(&budgets);
            budgets
        }
    };
    if budgets.need_groups() {
        let runs: Vec<_> = footprint.runs.iter().cloned().collect();
        for groups in groups_of_runs(&runs) {
            let groups: Vec<(String, String)> = all(&mut *connection, &groups).await?;
            budgets.groups.extend(groups);
        }
    }
    Ok(budgets)
}

/// The stored rows of a footprint.
async fn rows(
    connection: &mut Link,
    footprint: &Footprint,
    ledger_by_time: bool,
) -> Work<Vec<UsageRow>> {
    if !ledger_by_time {
        let ids: Vec<_> = footprint.ids.iter().copied().collect();
        return ledger_rows::calls(connection, &ids).await;
    }
    // A call is recorded after its id was made, and on its day or later: older partitions cannot
    // hold its row. An id without a time may be anywhere.
    let (timed, other): (Vec<_>, Vec<_>) =
        footprint.ids.iter().partition(|id| made_on(id).is_some());
    let mut rows = ledger_rows::calls(&mut *connection, &other).await?;
    let made = timed.iter().filter_map(made_on).min();
    if let Some(first) = made.into_iter().chain(footprint.days.first().copied()).min() {
        // Clocks of processes differ a little.
        let since = first.saturating_sub(1.day());
        rows.extend(ledger_rows::calls_since(connection, &timed, since).await?);
    }
    Ok(rows)
}

/// The day of the time that an id holds, if it does.
fn made_on(id: &Uuid) -> Option<Date> {
    let (seconds, _) = id.get_timestamp()?.to_unix();
    let at = jiff::Timestamp::from_second(seconds.try_into().ok()?).ok()?;
    Some(day_of(at))
}
