//! Ledger operations in one transaction: load what they touch, apply them, write what changed. The
//! rules are those of [`LedgerBatch`].
//!
//! Whoever changes leases, ledger or sums holds the lock on the row of the counter's epoch. So
//! operations of all processes run one batch after another, admission and counting are atomic, and
//! there are no deadlocks. The operations of a batch share the lock and one commit.

use jiff::ToSpan;
use jiff::civil::Date;
use simops::Result;
use simops::clock::day_of;
use simops::usage::{Changes, CounterEpoch, Footprint, LedgerBatch, Loaded, Op, Outcome, UsageRow};
use uuid::Uuid;

use crate::days::{day_uses, put_day_use};
use crate::error::Work;
use crate::link::Link;
use crate::transaction::Base;
use crate::{counter_epoch_rows, lease_rows, usage_rows};

/// Most leases that expire in one transaction.
const EXPIRE_BATCH: i64 = 500;

/// Applies the operations of several callers in one transaction. Every operation carries ids, so
/// the transaction is repeated if its connection is lost.
pub(crate) async fn apply(base: Base, ops: Vec<Op>) -> Result<Vec<Result<Outcome>>> {
    let (ops, by_time) = (&ops, base.ledger_by_time);
    base.write_idempotent(|mut tx| async move {
        let epoch = counter_epoch_rows::lock(&mut tx).await?;
        let outcomes = apply_locked(&mut tx, ops, epoch, by_time).await?;
        Ok((tx, outcomes))
    })
    .await
}

/// Applies operations while `epoch` is locked.
pub(crate) async fn apply_locked(
    connection: &mut Link,
    ops: &[Op],
    epoch: CounterEpoch,
    ledger_by_time: bool,
) -> Work<Vec<Result<Outcome>>> {
    let mut batch = LedgerBatch::new(load(connection, ops, epoch, ledger_by_time).await?);
    let outcomes = ops.iter().map(|op| batch.apply(op)).collect();
    write(connection, &batch.into_changes()).await?;
    Ok(outcomes)
}

async fn load(
    connection: &mut Link,
    ops: &[Op],
    epoch: CounterEpoch,
    ledger_by_time: bool,
) -> Work<Loaded> {
    let mut footprint = Footprint::of(ops);
    let ids: Vec<_> = footprint.ids.iter().copied().collect();
    let mut leases = lease_rows::of_ids(&mut *connection, &ids).await?;
    if let Some(now) = footprint.due {
        let due = lease_rows::due(&mut *connection, now, EXPIRE_BATCH).await?;
        leases.extend(due.into_iter().filter(|lease| !footprint.ids.contains(&lease.id)));
    }
    leases.iter().for_each(|lease| footprint.add_lease(lease));
    let rows = rows(connection, &footprint, ledger_by_time).await?;
    rows.iter().for_each(|row| footprint.add_row(row));
    let runs: Vec<_> = footprint.runs.into_iter().collect();
    Ok(Loaded {
        clients: match epoch.generation {
            0 => Vec::new(),
            _ => counter_epoch_rows::clients(&mut *connection).await?,
        },
        epoch,
        leases,
        rows,
        days: day_uses(&mut *connection, footprint.days).await?,
        runs: usage_rows::run_totals(connection, &runs).await?,
    })
}

/// The stored rows of a footprint.
async fn rows(
    connection: &mut Link,
    footprint: &Footprint,
    ledger_by_time: bool,
) -> Work<Vec<UsageRow>> {
    if !ledger_by_time {
        let ids: Vec<_> = footprint.ids.iter().copied().collect();
        return usage_rows::of_ids(connection, &ids).await;
    }
    // A call is recorded after its id was made, and on its day or later: older partitions cannot
    // hold its row. An id without a time may be anywhere.
    let (timed, other): (Vec<_>, Vec<_>) =
        footprint.ids.iter().partition(|id| made_on(id).is_some());
    let mut rows = usage_rows::of_ids(&mut *connection, &other).await?;
    let made = timed.iter().filter_map(made_on).min();
    if let Some(first) = made.into_iter().chain(footprint.days.first().copied()).min() {
        // Clocks of processes differ a little.
        let since = first.saturating_sub(1.day());
        rows.extend(usage_rows::of_ids_since(connection, &timed, since).await?);
    }
    Ok(rows)
}

/// The day of the time that an id holds, if it does.
fn made_on(id: &Uuid) -> Option<Date> {
    let (seconds, _) = id.get_timestamp()?.to_unix();
    let at = jiff::Timestamp::from_second(seconds.try_into().ok()?).ok()?;
    Some(day_of(at))
}

async fn write(connection: &mut Link, changes: &Changes) -> Work<()> {
    lease_rows::delete(&mut *connection, &changes.ended).await?;
    lease_rows::insert(&mut *connection, &changes.opened).await?;
    usage_rows::insert(&mut *connection, &changes.inserted).await?;
    usage_rows::replace(&mut *connection, &changes.replaced).await?;
    for (day, sums) in &changes.days {
        put_day_use(&mut *connection, *day, sums).await?;
    }
    let runs = changes.runs.iter();
    usage_rows::put_run_totals(connection, runs.map(|(run_id, sums)| (run_id.as_str(), *sums)))
        .await
}
