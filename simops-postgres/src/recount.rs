//! Counts all sums again from the ledger and the open leases.

use std::collections::BTreeMap;

use jiff::civil::Date;
use simops::store::sql::{call_totals, day_totals};
use simops::usage::CallTotals;
use simops::usage::{DayUse, Lease};
use simops::usage::{Pair, Recount};
use sqlx::{AssertSqlSafe, Row};

use crate::codec::{Cells, Day};
use crate::days::{day_uses, put_day_use};
use crate::error::Work;
use crate::link::Link;
use crate::transaction::Tx;
use crate::usage_rows::{DAY_SUMS, all_pruned_calls, call_sums, put_run_totals, run_totals};
use crate::{counter_epoch_rows, lease_rows};

/// All stored sums, and what they should be.
pub(crate) async fn recount(connection: &mut Link) -> Work<Recount> {
    let mut days: BTreeMap<Date, Pair<DayUse>> = BTreeMap::new();
    let mut runs: BTreeMap<String, Pair<CallTotals>> = BTreeMap::new();
    let mut all = 0;

    let sql = format!("SELECT {DAY_SUMS}, day FROM usage GROUP BY day");
    for row in sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut *connection).await? {
        let settled = day_totals(Cells(&row), 0)?;
        all += settled.calls_total;
        days.entry(row.try_get::<Day, _>("day")?.0).or_default().counted.settled = settled;
    }
    let sql = format!(
        "SELECT {}, run_id FROM usage WHERE run_id IS NOT NULL GROUP BY run_id",
        call_sums()
    );
    for row in sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut *connection).await? {
        runs.entry(row.try_get("run_id")?).or_default().counted = call_totals(Cells(&row), 0)?;
    }
    let mut pruned: i64 = 0;
    for gone in all_pruned_calls(&mut *connection).await? {
        pruned = pruned.saturating_add(gone.of_run.calls);
        let day = &mut days.entry(gone.day).or_default().counted;
        day.settled = day.settled + gone.of_day;
        if let Some(run_id) = gone.run_id {
            let run = &mut runs.entry(run_id).or_default().counted;
            *run = *run + gone.of_run;
        }
    }
    let open = lease_rows::all(&mut *connection).await?;
    for lease in &open {
        let day = &mut days.entry(lease.day).or_default().counted;
        day.reserved = day.reserved + Lease::totals(lease);
    }
    for row in sqlx::query("SELECT day FROM usage_days").fetch_all(&mut *connection).await? {
        days.entry(row.try_get::<Day, _>(0)?.0).or_default();
    }
    for row in sqlx::query("SELECT run_id FROM usage_runs").fetch_all(&mut *connection).await? {
        runs.entry(row.try_get(0)?).or_default();
    }
    let kept = day_uses(&mut *connection, days.keys().copied()).await?;
    for (day, pair) in &mut days {
        pair.kept = kept.get(day).copied().unwrap_or_default();
        pair.counted.version = pair.kept.version;
    }
    let kept = run_totals(connection, &runs.keys().cloned().collect::<Vec<_>>()).await?;
    for (run_id, pair) in &mut runs {
        pair.kept = kept.get(run_id).copied().unwrap_or_default();
    }
    Ok(Recount {
        rows: all,
        pruned,
        leases: open.len().try_into().unwrap_or(i64::MAX),
        days: days.into_iter().collect(),
        runs: runs.into_iter().collect(),
    })
}

/// Counts all sums again and corrects those that are wrong, while no other process counts. Returns what
/// it found.
pub(crate) async fn rebuild(mut tx: Tx) -> Work<(Tx, Recount)> {
    counter_epoch_rows::lock(&mut tx).await?;
    let found = recount(&mut tx).await?;
    for (day, Pair { kept, counted }) in &found.days {
        if kept != counted {
            let right = DayUse { version: kept.version + 1, ..*counted };
            put_day_use(&mut tx, *day, &right).await?;
        }
    }
    let wrong = found.runs.iter().filter(|(_, sums)| sums.kept != sums.counted);
    put_run_totals(&mut tx, wrong.map(|(run_id, sums)| (run_id.as_str(), sums.counted))).await?;
    Ok((tx, found))
}
