//! What SQL stores share beyond dialect: column lists, the mapping of rows to records, event sums,
//! migrations and errors.
//!
//! A store implements [`SqlRow`] for a wrapper of its driver's rows. A function here reads each
//! record from a row whose columns are selected by the constant next to it.
//!
//! # Errors
//! What reads a row returns the driver's error if a column is missing, has another type or holds a
//! value that the record cannot have.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use jiff::civil::Date;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::{EpochStatus, EventCount, LeaderLease, LogTable, Page, StoredReport, WorldEpoch};
use crate::clock::day_of;
use crate::control::HostReport;
use crate::event::{DayTally, Event, EventClass, NewEvent, RuntimeMode};
use crate::kpi::sums::SUM_FIELDS;
use crate::kpi::{DaySums, Kind, Steps};
use crate::usage::budget::CallTotals;
use crate::usage::{CounterClient, CounterEpoch, DayTotals, Lease, NanoUsd, UsageRow};
use crate::{Error, ErrorKind, Result};

/// A row of a query result. Columns are numbered from 0.
pub trait SqlRow: Copy {
    /// The error of the driver.
    type Error;

    /// Whether a column is null.
    fn is_null(&self, column: usize) -> Result<bool, Self::Error>;

    /// A 64-bit integer.
    fn int(&self, column: usize) -> Result<i64, Self::Error>;

    /// A boolean.
    fn flag(&self, column: usize) -> Result<bool, Self::Error>;

    /// A text.
    fn text(&self, column: usize) -> Result<String, Self::Error>;

    /// A point in time.
    fn time(&self, column: usize) -> Result<Timestamp, Self::Error>;

    /// A UTC day.
    fn day(&self, column: usize) -> Result<Date, Self::Error>;

    /// A UUID.
    fn uuid(&self, column: usize) -> Result<Uuid, Self::Error>;

    /// A value that is stored as JSON.
    fn json<T: DeserializeOwned>(&self, column: usize) -> Result<T, Self::Error>;

    /// A value that is stored as its name in the API.
    fn word<T: DeserializeOwned>(&self, column: usize) -> Result<T, Self::Error>;

    /// The error for a stored value that no record can have.
    fn unreadable(message: &'static str) -> Self::Error;

    /// A column that may be null, read by one of the other methods.
    fn optional<T>(
        &self,
        column: usize,
        read: impl FnOnce(&Self, usize) -> Result<T, Self::Error>,
    ) -> Result<Option<T>, Self::Error> {
        if self.is_null(column)? { Ok(None) } else { read(self, column).map(Some) }
    }
}

/// The columns that [`event`] reads.
pub const EVENT_COLUMNS: &str =
    "id, run_id, agent_id, event_type, description, metadata, created_at";

/// Reads an event.
pub fn event<R: SqlRow>(row: R) -> Result<Event, R::Error> {
    Ok(Event {
        id: row.int(0)?,
        run_id: row.optional(1, R::text)?,
        agent_id: row.optional(2, R::int)?,
        event_type: row.text(3)?,
        description: row.text(4)?,
        metadata: row.json(5)?,
        created_at: row.time(6)?,
    })
}

/// Reads the number of a run's events of one type and mode: `event_type, mode, count`.
pub fn event_count<R: SqlRow>(row: R) -> Result<EventCount, R::Error> {
    let mode = RuntimeMode::parse(&row.text(1)?);
    Ok(EventCount { event_type: row.text(0)?, mode, count: row.int(2)? })
}

/// The columns that [`event_class`] reads.
pub const EVENT_CLASS_COLUMNS: &str = "event_type, mode, agent_id, category, enforcement";

/// Reads the class of events.
pub fn event_class<R: SqlRow>(row: R) -> Result<EventClass, R::Error> {
    Ok(EventClass {
        event_type: row.text(0)?,
        mode: RuntimeMode::parse(&row.text(1)?),
        agent_id: row.optional(2, R::int)?,
        category: row.text(3)?,
        enforcement: row.flag(4)?,
    })
}

/// Reads the number of a day's events of one class: [`EVENT_CLASS_COLUMNS`], then `day, run_id,
/// count`.
pub fn day_tally<R: SqlRow>(row: R) -> Result<DayTally, R::Error> {
    let class = event_class(row)?;
    Ok(DayTally {
        day: row.day(5)?,
        run_id: Some(row.text(6)?).filter(|run_id| !run_id.is_empty()),
        class: EventClass { agent_id: class.agent_id.filter(|id| *id != NO_AGENT), ..class },
        count: row.int(7)?,
    })
}

/// Stands for no agent in a key, which cannot be null.
const NO_AGENT: i64 = i64::MIN;

/// The sums that appended events change, summed up first so that a batch of one kind costs one
/// update. Both maps are in key order, in which rows are updated to avoid deadlocks.
#[derive(Debug, Default)]
pub struct EventSums<'a> {
    /// By run, type and mode.
    pub of_runs: BTreeMap<(&'a str, &'a str, &'static str), i64>,
    /// By day, run (empty for none) and class.
    pub of_days: BTreeMap<(Date, &'a str, EventClassKey<'a>), i64>,
}

/// The columns of [`EVENT_CLASS_COLUMNS`] as a key.
pub type EventClassKey<'a> = (&'a str, &'static str, i64, &'a str, bool);

impl<'a> EventSums<'a> {
    /// Counts an event that was inserted.
    pub fn add(&mut self, event: &'a NewEvent) {
        let mode = event.runtime_mode().map_or("", RuntimeMode::as_str);
        let event_type = event.event_type.as_str();
        if let Some(run_id) = &event.run_id {
            *self.of_runs.entry((run_id, event_type, mode)).or_default() += 1;
        }
        let agent_id = event.agent_id.unwrap_or(NO_AGENT);
        let class = (event_type, mode, agent_id, event.category(), event.is_enforcement());
        let run_id = event.run_id.as_deref().unwrap_or_default();
        *self.of_days.entry((day_of(event.created_at), run_id, class)).or_default() += 1;
    }
}

/// The columns that [`host`] reads.
pub const HOST_COLUMNS: &str =
    "id, version, last_seen, generation, state, in_flight_calls, owns_world";

/// Reads a host's report.
pub fn host<R: SqlRow>(row: R) -> Result<HostReport, R::Error> {
    Ok(HostReport {
        id: row.text(0)?,
        version: row.text(1)?,
        last_seen: row.time(2)?,
        generation: row.int(3)?.cast_unsigned(),
        state: row.word(4)?,
        in_flight_calls: row.int(5)?.try_into().unwrap_or(u32::MAX),
        owns_world: row.flag(6)?,
    })
}

/// The columns that [`leader_lease`] reads.
pub const LEADER_LEASE_COLUMNS: &str = "duty, holder, fence, beat";

/// Reads a leader lease.
pub fn leader_lease<R: SqlRow>(row: R) -> Result<LeaderLease, R::Error> {
    Ok(LeaderLease {
        name: row.text(0)?,
        holder: row.optional(1, R::uuid)?,
        fence: row.int(2)?.cast_unsigned(),
        renewals: row.int(3)?.cast_unsigned(),
    })
}

/// The columns that [`epoch`] reads.
pub const EPOCH_COLUMNS: &str = "epoch, requested_at, status, host_id, result, reason";

/// Reads an epoch of the world.
pub fn epoch<R: SqlRow>(row: R) -> Result<WorldEpoch, R::Error> {
    let status = match row.text(2)?.as_str() {
        "requested" => EpochStatus::Requested,
        "building" => EpochStatus::Building { host_id: row.text(3)? },
        "ready" => EpochStatus::Ready { result: row.json(4)? },
        "failed" => EpochStatus::Failed { reason: row.text(5)? },
        _ => return Err(R::unreadable("an epoch has an unknown status")),
    };
    Ok(WorldEpoch { epoch: row.int(0)?, status, requested_at: row.time(1)? })
}

/// The columns that [`report`] reads.
pub const REPORT_COLUMNS: &str = "run_id, ended_at, body, created_at";

/// Reads the report of a run's end.
pub fn report<R: SqlRow>(row: R) -> Result<StoredReport, R::Error> {
    Ok(StoredReport {
        run_id: row.text(0)?,
        ended_at: row.time(1)?,
        body: row.json(2)?,
        created_at: row.time(3)?,
    })
}

/// The columns that [`usage_row`] reads.
pub const USAGE_COLUMNS: &str = "id, day, run_id, agent_id, checkpoint, provider, \
     model_requested, model_resolved, input_tokens, cached_input_tokens, output_tokens, \
     reasoning_tokens, cost, priced, success, fallback_used, latency_ms, error_type, created_at";

/// Reads a row of the usage ledger.
pub fn usage_row<R: SqlRow>(row: R) -> Result<UsageRow, R::Error> {
    Ok(UsageRow {
        id: row.uuid(0)?,
        day: row.day(1)?,
        run_id: row.optional(2, R::text)?,
        agent_id: row.optional(3, R::int)?,
        checkpoint: row.optional(4, R::int)?,
        provider: row.text(5)?,
        model_requested: row.text(6)?,
        model_resolved: row.optional(7, R::text)?,
        input_tokens: row.int(8)?,
        cached_input_tokens: row.int(9)?,
        output_tokens: row.int(10)?,
        reasoning_tokens: row.int(11)?,
        cost: NanoUsd(row.int(12)?),
        priced: row.flag(13)?,
        success: row.flag(14)?,
        fallback_used: row.flag(15)?,
        latency_ms: row.int(16)?,
        error_type: row.optional(17, R::text)?,
        created_at: row.time(18)?,
    })
}

/// The columns that [`lease`] reads.
pub const LEASE_COLUMNS: &str = "id, day, run_id, agent_id, checkpoint, provider, model, \
     upper_bound, priced, created_at, expires_at";

/// Reads an open lease.
pub fn lease<R: SqlRow>(row: R) -> Result<Lease, R::Error> {
    Ok(Lease {
        id: row.uuid(0)?,
        day: row.day(1)?,
        run_id: row.optional(2, R::text)?,
        agent_id: row.optional(3, R::int)?,
        checkpoint: row.optional(4, R::int)?,
        provider: row.text(5)?,
        model: row.text(6)?,
        upper_bound: NanoUsd(row.int(7)?),
        priced: row.flag(8)?,
        created_at: row.time(9)?,
        expires_at: row.time(10)?,
    })
}

/// Reads the six sums of a day, starting at the column `first`.
pub fn day_totals<R: SqlRow>(row: R, first: usize) -> Result<DayTotals, R::Error> {
    ints(row, first).map(DayTotals::from_array)
}

/// Reads the five sums of a run, starting at the column `first`.
pub fn call_totals<R: SqlRow>(row: R, first: usize) -> Result<CallTotals, R::Error> {
    ints(row, first).map(CallTotals::from_array)
}

fn ints<R: SqlRow, const N: usize>(row: R, first: usize) -> Result<[i64; N], R::Error> {
    let mut ints = [0; N];
    for (int, column) in ints.iter_mut().zip(first..) {
        *int = row.int(column)?;
    }
    Ok(ints)
}

/// The columns that [`pruned_calls`] reads.
pub const PRUNED_CALLS_COLUMNS: &str = "calls_total, calls_openrouter_free, calls_groq, \
     calls_gemini, calls_unpriced, cost, calls_total, success_calls, fallback_calls, \
     total_tokens, cost, day, run_id";

/// Sums of the pruned calls of a run on a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrunedCalls {
    /// The day.
    pub day: Date,
    /// The run, if any.
    pub run_id: Option<String>,
    /// As the sums of a day.
    pub of_day: DayTotals,
    /// As the sums of a run.
    pub of_run: CallTotals,
}

/// Reads the sums of pruned calls.
pub fn pruned_calls<R: SqlRow>(row: R) -> Result<PrunedCalls, R::Error> {
    Ok(PrunedCalls {
        day: row.day(11)?,
        run_id: Some(row.text(12)?).filter(|run_id| !run_id.is_empty()),
        of_day: day_totals(row, 0)?,
        of_run: call_totals(row, 6)?,
    })
}

/// The columns that [`counter_epoch`] reads.
pub const COUNTER_EPOCH_COLUMNS: &str = "generation, counted_in, namespace, redis, since, reason";

/// Reads the counter's epoch.
pub fn counter_epoch<R: SqlRow>(row: R) -> Result<CounterEpoch, R::Error> {
    Ok(CounterEpoch {
        generation: row.int(0)?.cast_unsigned(),
        backend: row.word(1)?,
        namespace: row.text(2)?,
        redis: row.optional(3, R::text)?,
        since: row.time(4)?,
        reason: row.optional(5, R::text)?,
    })
}

/// The columns that [`counter_client`] reads.
pub const COUNTER_CLIENT_COLUMNS: &str = "id, generation, until, calls_total, \
     calls_openrouter_free, calls_groq, calls_gemini, calls_unpriced, cost";

/// Reads a client of the counter.
pub fn counter_client<R: SqlRow>(row: R) -> Result<CounterClient, R::Error> {
    Ok(CounterClient {
        id: row.uuid(0)?,
        generation: row.int(1)?.cast_unsigned(),
        until: row.time(2)?,
        allotment: day_totals(row, 3)?,
    })
}

/// Reads a record that is stored whole, as JSON in the column `body`.
pub fn body<R: SqlRow, T: DeserializeOwned>(row: R) -> Result<T, R::Error> {
    row.json(0)
}

/// Reads `body, place` of a listing.
pub fn placed_body<R: SqlRow, T: DeserializeOwned>(row: R) -> Result<(i64, T), R::Error> {
    Ok((row.int(1)?, row.json(0)?))
}

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

/// What visitors did, by visitor and day.
pub type VisitorSteps = HashMap<(Uuid, Date), Steps>;

/// The number of visitors' days whose stored steps differ from those counted.
pub fn count_wrong_steps(stored: &VisitorSteps, counted: &VisitorSteps) -> u64 {
    let wrong = stored.iter().filter(|(key, steps)| counted.get(key) != Some(steps)).count();
    let missing = counted.keys().filter(|key| !stored.contains_key(key)).count();
    (wrong + missing) as u64
}

/// The migrations that a schema of `version` lacks.
///
/// # Errors
/// `Unusable` if a newer simops wrote the schema.
pub fn pending_migrations<'m>(
    all: &'m [&'static str],
    version: usize,
) -> Result<&'m [&'static str]> {
    all.get(version..).ok_or_else(|| {
        let detail = format!(
            "written by a newer simops: its schema has version {version}, this simops {} knows up \
             to {}; upgrade simops or use another database",
            crate::VERSION,
            all.len()
        );
        Error::new(ErrorKind::Unusable, detail)
    })
}

/// The same error for another caller. The cause stays with the first.
pub fn copy_error(error: &Error) -> Error {
    match error.kind() {
        ErrorKind::Unavailable => Error::unavailable(error.detail()),
        ErrorKind::Invalid => Error::invalid_fields(error.fields().to_vec()),
        kind => Error::new(kind, error.detail()),
    }
}

/// Logs a panic in a store call; the error for its caller.
pub fn panicked(panic: &(dyn Any + Send)) -> Error {
    let message = panic.downcast_ref::<&str>().copied();
    let message = message.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let message = message.unwrap_or_default();
    tracing::error!(code = "store_call_panicked", panic = message, "store call panicked");
    Error::internal("a store call failed with an internal error")
}
