//! What SQL stores share: statements, the mapping of rows to records, the roles whose statements are
//! the same in every dialect, event sums, migrations and errors.
//!
//! A store implements [`SqlRow`] for its driver's rows, [`SqlTx`] for its transactions, and
//! [`SqlStore`], with which it gets those roles. It implements the other roles itself, with the
//! statements and column lists here where they fit.

mod agents;
mod alerts;
mod budget_rows;
mod budgets;
mod control;
mod counter;
mod digests;
mod events;
mod hosts;
mod known_addresses;
mod leader_leases;
mod recount;
mod row;
mod runs;
mod schema;
mod statement;
mod store;
mod usage;
mod world;

use std::any::Any;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

pub use budget_rows::{
    USE_COLUMNS, USE_KEY, USE_SUMS, all_budgets, budget_use, groups_of_runs, put_budget_use,
};
pub use counter::{counter_clients, epoch, lock_counter};
pub use events::{
    EVENT_CLASS_COLUMNS, EventClassKey, EventSums, ListEvents, day_tallies, day_tallies_of_runs,
    event_counts, event_counts_by_run, event_of, events_of_type, last_event, list_events,
    run_tallies,
};
pub use recount::{CorrectUsage, CountCalls, FinishRecount, ReadLedgerBasis};
pub use row::{SqlRecord, SqlRow};
pub use schema::{Migrations, SchemaVersion, misfit, no_schema};
pub use statement::{LATER_AGENT, LATER_OF_CALLS, SqlValue, Statement, insert, upsert};
use statement::{in_parts, later_column};
pub use store::{GateLock, SqlOperation, SqlStore, SqlTx};
pub use usage::{
    DAY_USE_COLUMNS, LEASE_COLUMNS, PrunedCalls, RUN_TOTALS_COLUMNS, TOTALS_COLUMNS, USAGE_COLUMNS,
    all_leases, day_use, due_leases, failure_window, pruned_calls, put_day_use, put_run_totals,
    run_totals, run_totals_by_run,
};

use super::{LogTable, Page};
use crate::kpi::sums::SUM_FIELDS;
use crate::kpi::{DaySums, Kind};
use crate::{Error, ErrorKind, Result};

/// A page of items with their places, of which [`one_more`] than `limit` were fetched.
pub fn page<T>(items: Vec<(i64, T)>, limit: usize) -> Page<T> {
    let Page { items, next } = Page::cut(items, limit, |(place, _)| *place);
    Page { items: items.into_iter().map(|(_, item)| item).collect(), next }
}

/// The number of rows to fetch for a page of `limit`: one more tells whether another page follows.
pub fn one_more(limit: usize) -> i64 {
    count(limit.saturating_add(1))
}

/// A count as an SQL integer.
pub fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The table that holds a log.
pub fn log_table(log: LogTable) -> &'static str {
    match log {
        LogTable::Events => "events",
        LogTable::Ledger => "usage",
        LogTable::Visits => "kpi_events",
    }
}

/// The column with the time by which rows of a log are pruned.
pub fn log_time(log: LogTable) -> &'static str {
    match log {
        LogTable::Events | LogTable::Ledger => "created_at",
        LogTable::Visits => "occurred_at",
    }
}

/// The sums of a day, from the numbers that are stored.
///
/// # Errors
/// `Unusable` if there are too few or too many.
pub fn day_sums(stored: &[i64]) -> Result<DaySums> {
    let fields: &[i64; SUM_FIELDS] = stored.try_into().map_err(|_| {
        Error::new(ErrorKind::Unusable, "a day's sums cannot be read: run kpi rebuild")
    })?;
    Ok(DaySums::from_array(fields))
}

/// The kind of a visitor's event, from the code that is stored.
///
/// # Errors
/// `Unusable` if the code is unknown.
pub fn kpi_kind(code: i64) -> Result<Kind> {
    let kind = usize::try_from(code).ok().and_then(Kind::of_code);
    kind.ok_or_else(|| {
        Error::new(ErrorKind::Unusable, "the database holds a visitor's event of unknown kind")
    })
}

/// The numbers of visitors with the same steps on the days $1 to $2: day, steps, visitors.
pub const STEPS_BY_DAY: &str = "SELECT day, steps, count(*) FROM kpi_steps \
                                WHERE day BETWEEN $1 AND $2 GROUP BY day, steps";

/// The numbers of viewers on the days $2 to $3 who were viewers again $1 days later: day, visitors.
/// $4 is [`Steps::VIEWER`](crate::kpi::Steps::VIEWER).
pub const RETURNS_BY_DAY: &str = "SELECT first.day, count(*) FROM kpi_steps AS first \
     JOIN kpi_steps AS again \
         ON again.visitor = first.visitor AND again.day = first.day + CAST($1 AS integer) \
     WHERE first.day BETWEEN $2 AND $3 AND (first.steps & CAST($4 AS integer)) <> 0 \
         AND (again.steps & CAST($4 AS integer)) <> 0 GROUP BY first.day";

/// The same error for another caller. The cause stays with the first.
pub fn copy_error(error: &Error) -> Error {
    match error.kind() {
        ErrorKind::Unavailable => Error::unavailable(error.detail()),
        ErrorKind::Invalid => Error::invalid_fields(error.fields().to_vec()),
        kind => Error::new(kind, error.detail()),
    }
}

/// Waits up to `limit` for the result of a call that another thread or task runs.
///
/// # Errors
/// That of the call; `Unavailable` if it takes longer or the store is closed.
pub async fn await_answer<T>(answer: oneshot::Receiver<Result<T>>, limit: Duration) -> Result<T> {
    match timeout(limit, answer).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(Error::unavailable("the store is closed")),
        Err(_) => Err(Error::unavailable("the database does not answer in time")),
    }
}

/// Wakes watchers if `now` is newer than what they have seen; whether it was. Notifications, polls and
/// commits of this process may arrive out of order.
pub fn publish(revision: &watch::Sender<u64>, now: u64) -> bool {
    revision.send_if_modified(|seen| {
        let is_newer = now > *seen;
        *seen = now.max(*seen);
        is_newer
    })
}

/// Logs a panic in a store call; the error for its caller.
pub fn panicked(panic: &(dyn Any + Send)) -> Error {
    let message = panic.downcast_ref::<&str>().copied();
    let message = message.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let message = message.unwrap_or_default();
    tracing::error!(code = "store_call_panicked", panic = message, "store call panicked");
    Error::internal("a store call failed with an internal error")
}
