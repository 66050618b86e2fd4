//! Counts all sums again from the ledger and the open leases.

use std::collections::BTreeMap;

use jiff::civil::Date;

use super::counter::lock_counter;
use super::usage::{
    DAY_USE_COLUMNS, RUN_TOTALS_COLUMNS, all_leases, pruned_calls, put_day_use, put_run_totals,
};
use super::{PrunedCalls, SqlOperation, SqlTx, Statement};
use crate::usage::{CallTotals, DayUse, Lease, Pair, Recount};

/// Compares all stored sums of usage with what they should be.
pub struct RecountUsage {
    /// Whether to correct those that are wrong. The result is from before the correction.
    pub corrects: bool,
}

impl SqlOperation for RecountUsage {
    type Output = Recount;

    fn is_repeatable(&self) -> bool {
        true
    }

    fn is_long(&self) -> bool {
        true
    }

    async fn run<T: SqlTx>(&self, tx: &mut T) -> Result<Recount, T::Error> {
        if !self.corrects {
            return recount(tx).await;
        }
        lock_counter(tx).await?;
        let found = recount(tx).await?;
        for (day, Pair { kept, counted }) in &found.days {
            if kept != counted {
                let right = DayUse { version: kept.version + 1, ..*counted };
                tx.execute(&put_day_use(*day, &right)).await?;
            }
        }
        for (run_id, Pair { kept, counted }) in &found.runs {
            if kept != counted {
                tx.execute(&put_run_totals(run_id, counted)).await?;
            }
        }
        Ok(found)
    }
}

async fn recount<T: SqlTx>(tx: &mut T) -> Result<Recount, T::Error> {
    let mut days: BTreeMap<Date, Pair<DayUse>> = BTreeMap::new();
    let mut runs: BTreeMap<String, Pair<CallTotals>> = BTreeMap::new();
    let (mut rows, mut pruned): (i64, i64) = (0, 0);

    let (of_days, of_runs) = tx.count_ledger().await?;
    for (day, settled) in of_days {
        rows += settled.calls_total;
        days.entry(day).or_default().counted.settled = settled;
    }
    for (run_id, totals) in of_runs {
        runs.entry(run_id).or_default().counted = totals;
    }
    for gone in tx.fetch_all::<PrunedCalls>(&pruned_calls()).await? {
        pruned = pruned.saturating_add(gone.of_run.calls);
        let day = &mut days.entry(gone.day).or_default().counted;
        day.settled = day.settled + gone.of_day;
        if let Some(run_id) = gone.run_id {
            let run = &mut runs.entry(run_id).or_default().counted;
            *run = *run + gone.of_run;
        }
    }
    let open: Vec<Lease> = tx.fetch_all(&all_leases()).await?;
    for lease in &open {
        let day = &mut days.entry(lease.day).or_default().counted;
        day.reserved = day.reserved + Lease::totals(lease);
    }
    let kept = Statement::new(format!("SELECT day, {DAY_USE_COLUMNS} FROM usage_days"));
    for (day, kept) in tx.fetch_all::<(Date, DayUse)>(&kept).await? {
        let pair = days.entry(day).or_default();
        pair.counted.version = kept.version;
        pair.kept = kept;
    }
    let kept = Statement::new(format!("SELECT run_id, {RUN_TOTALS_COLUMNS} FROM usage_runs"));
    for (run_id, kept) in tx.fetch_all(&kept).await? {
        runs.entry(run_id).or_default().kept = kept;
    }
    Ok(Recount {
        rows,
        pruned,
        leases: open.len().try_into().unwrap_or(i64::MAX),
        days: days.into_iter().collect(),
        runs: runs.into_iter().collect(),
    })
}
