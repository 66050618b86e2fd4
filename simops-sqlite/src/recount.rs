//! Counts all sums again from the ledger and the open leases.

use std::collections::BTreeMap;

use jiff::civil::Date;
use rusqlite::Connection;
use simops::store::sql::{SqlRow, USAGE_COLUMNS, usage_row};
use simops::usage::CallTotals;
use simops::usage::{DayTotals, DayUse, Lease};
use simops::usage::{Pair, Recount};

use crate::codec::Cells;
use crate::days::{self, day_use, put_day_use};
use crate::error::Work;
use crate::lease_rows;
use crate::usage_rows::{all_pruned_calls, put_run_totals, run_totals};

/// All stored sums, and what they should be. Reads each row once.
pub(crate) fn recount(connection: &Connection) -> Work<Recount> {
    let mut days: BTreeMap<Date, Pair<DayUse>> = BTreeMap::new();
    let mut runs: BTreeMap<String, Pair<CallTotals>> = BTreeMap::new();
    let (mut rows, open) = (0, lease_rows::all(connection)?);

    let mut kept = connection.prepare("SELECT day FROM usage_days")?;
    for day in kept.query_map([], |row| Cells(row).day(0))? {
        days.entry(day?).or_default();
    }
    let mut kept = connection.prepare("SELECT run_id FROM usage_runs")?;
    for run_id in kept.query_map([], |row| row.get(0))? {
        runs.entry(run_id?).or_default();
    }
    let mut ledger = connection.prepare(&format!("SELECT {USAGE_COLUMNS} FROM usage"))?;
    for call in ledger.query_map([], |row| usage_row(Cells(row)))? {
        let call = call?;
        rows += 1;
        let day = &mut days.entry(call.day).or_default().counted;
        day.settled = day.settled + DayTotals::of(&call);
        if let Some(run_id) = &call.run_id {
            let run = &mut runs.entry(run_id.clone()).or_default().counted;
            *run = *run + CallTotals::of(&call);
        }
    }
    let mut pruned: i64 = 0;
    for gone in all_pruned_calls(connection)? {
        pruned = pruned.saturating_add(gone.of_run.calls);
        let day = &mut days.entry(gone.day).or_default().counted;
        day.settled = day.settled + gone.of_day;
        if let Some(run_id) = gone.run_id {
            let run = &mut runs.entry(run_id).or_default().counted;
            *run = *run + gone.of_run;
        }
    }
    for lease in &open {
        let day = &mut days.entry(lease.day).or_default().counted;
        day.reserved = day.reserved + Lease::totals(lease);
    }
    for (day, pair) in &mut days {
        pair.kept = day_use(connection, *day)?;
        pair.counted.version = pair.kept.version;
    }
    for (run_id, pair) in &mut runs {
        pair.kept = run_totals(connection, run_id)?;
    }
    Ok(Recount {
        rows,
        pruned,
        leases: open.len().try_into().unwrap_or(i64::MAX),
        days: days.into_iter().collect(),
        runs: runs.into_iter().collect(),
    })
}

/// Counts all sums again and corrects those that are wrong. Returns what it found.
pub(crate) fn rebuild(connection: &Connection) -> Work<Recount> {
    let found = recount(connection)?;
    for (day, Pair { kept, counted }) in &found.days {
        if kept != counted {
            let version = days::day_use(connection, *day)?.version + 1;
            put_day_use(connection, *day, &DayUse { version, ..*counted })?;
        }
    }
    for (run_id, Pair { kept, counted }) in &found.runs {
        if kept != counted {
            put_run_totals(connection, run_id, *counted)?;
        }
    }
    Ok(found)
}
