//! Rows of the usage ledger, of open leases, and of the sums of both.

use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::civil::Date;

use super::{LATER_AGENT, SqlRecord, SqlRow, Statement, in_parts, later_column, upsert};
use crate::store::FailureCounts;
use crate::usage::{
    Bucket, CallClass, CallTally, CallTotals, DayTotals, DayUse, Lease, NanoUsd, UsageRow,
};

/// The columns of a row of the ledger.
pub const USAGE_COLUMNS: &str = "id, day, run_id, agent_id, agent, checkpoint, provider, \
     model_requested, model_resolved, input_tokens, cached_input_tokens, output_tokens, \
     reasoning_tokens, cost, priced, success, fallback_used, latency_ms, error_type, created_at, \
     sent, over_reservation";

impl SqlRecord for UsageRow {
    fn read<R: SqlRow>(row: &mut R) -> Result<Self, R::Error> {
        Ok(Self {
            id: row.uuid()?,
            day: row.day()?,
            run_id: row.optional(R::text)?,
            agent_id: row.agent()?,
            checkpoint: row.optional(R::int)?,
            provider: row.text()?,
            model_requested: row.text()?,
            model_resolved: row.optional(R::text)?,
            input_tokens: row.int()?,
            cached_input_tokens: row.int()?,
            output_tokens: row.int()?,
            reasoning_tokens: row.int()?,
            cost: NanoUsd(row.int()?),
            priced: row.flag()?,
            success: row.flag()?,
            fallback_used: row.flag()?,
            latency_ms: row.int()?,
            error_type: row.optional(R::text)?,
            created_at: row.time()?,
            sent: row.flag()?,
            over_reservation: row.flag()?,
        })
    }
}

/// The columns of an open lease.
pub const LEASE_COLUMNS: &str = "id, day, run_id, agent_id, agent, checkpoint, provider, model, \
     upper_bound, priced, created_at, expires_at, input_tokens, output_tokens";

/// The columns of an open lease in a query.
static READ_LEASE_COLUMNS: LazyLock<String> = LazyLock::new(|| {
    let [input, output] = ["input_tokens", "output_tokens"]
        .map(|column| later_column("leases", "id", (column, "CAST(0 AS BIGINT)")));
    let earlier = LEASE_COLUMNS.trim_end_matches(", input_tokens, output_tokens");
    format!("{earlier}, {input}, {output}")
});

impl SqlRecord for Lease {
    fn read<R: SqlRow>(row: &mut R) -> Result<Self, R::Error> {
        Ok(Self {
            id: row.uuid()?,
            day: row.day()?,
            run_id: row.optional(R::text)?,
            agent_id: row.agent()?,
            checkpoint: row.optional(R::int)?,
            provider: row.text()?,
            model: row.text()?,
            upper_bound: NanoUsd(row.int()?),
            priced: row.flag()?,
            created_at: row.time()?,
            expires_at: row.time()?,
            input_tokens: row.int()?,
            output_tokens: row.int()?,
        })
    }
}

/// The query of all open leases.
pub fn all_leases() -> Statement {
    Statement::new(format!("SELECT {} FROM leases{LATER_AGENT} ORDER BY id", *READ_LEASE_COLUMNS))
}

/// The query of at most `most` leases that expired before `now`, the oldest first.
pub fn due_leases(now: Timestamp, most: i64) -> Statement {
    Statement::new(format!(
        "SELECT {LEASE_COLUMNS} FROM leases WHERE expires_at < $1 ORDER BY expires_at LIMIT $2"
    ))
    .bind(now)
    .bind(most)
}

/// The columns of [`DayTotals`].
pub const TOTALS_COLUMNS: &str =
    "calls_total, calls_openrouter_free, calls_groq, calls_gemini, calls_unpriced, cost";

impl SqlRecord for DayTotals {
    fn read<R: SqlRow>(row: &mut R) -> Result<Self, R::Error> {
        ints(row).map(Self::from_array)
    }
}

fn ints<R: SqlRow, const N: usize>(row: &mut R) -> Result<[i64; N], R::Error> {
    let mut ints = [0; N];
    for int in &mut ints {
        *int = row.int()?;
    }
    Ok(ints)
}

/// The columns of [`DayUse`].
pub const DAY_USE_COLUMNS: &str = "calls_total, calls_openrouter_free, calls_groq, calls_gemini, \
     calls_unpriced, cost, reserved_calls_total, reserved_calls_openrouter_free, \
     reserved_calls_groq, reserved_calls_gemini, reserved_calls_unpriced, reserved_cost, version";

impl SqlRecord for DayUse {
    fn read<R: SqlRow>(row: &mut R) -> Result<Self, R::Error> {
        Ok(Self {
            settled: DayTotals::read(row)?,
            reserved: DayTotals::read(row)?,
            version: row.int()?.cast_unsigned(),
        })
    }
}

/// The query of the sums of a day. They are added to in Rust and not in SQL, where a sum beyond
/// `i64::MAX` would fail or become a float.
pub fn day_use(day: Date) -> Statement {
    Statement::new(format!("SELECT {DAY_USE_COLUMNS} FROM usage_days WHERE day = $1")).bind(day)
}

/// Replaces the sums of a day.
pub fn put_day_use(day: Date, day_use: &DayUse) -> Statement {
    Statement::new(upsert("usage_days", "day", &format!("day, {DAY_USE_COLUMNS}")))
        .bind(day)
        .bind_all(day_use.settled.to_array())
        .bind_all(day_use.reserved.to_array())
        .bind(day_use.version)
}

impl SqlRecord for Bucket {
    fn read<R: SqlRow>(row: &mut R) -> Result<Self, R::Error> {
        let at = Timestamp::from_second(row.int()?);
        Ok(Self {
            at: at.map_err(|error| R::unreadable(error.to_string()))?,
            provider: row.text()?,
            calls: row.int()?,
            failed: row.int()?,
            cost: NanoUsd(row.int()?),
        })
    }
}

impl SqlRecord for CallTally {
    fn read<R: SqlRow>(row: &mut R) -> Result<Self, R::Error> {
        Ok(Self {
            class: CallClass {
                provider: row.text()?,
                model: row.text()?,
                success: row.flag()?,
                error_type: row.optional(R::text)?,
            },
            calls: row.int()?,
            unsent_calls: row.int()?,
            fallback_calls: row.int()?,
            unpriced_calls: row.int()?,
            input_tokens: row.int()?,
            output_tokens: row.int()?,
            cost: NanoUsd(row.int()?),
        })
    }
}

impl SqlRecord for FailureCounts {
    fn read<R: SqlRow>(row: &mut R) -> Result<Self, R::Error> {
        Ok(Self { failed: row.int()?, calls: row.int()? })
    }
}

/// The query of the number of a run's calls recorded after `since`.
pub fn failure_window(run_id: &str, since: Timestamp) -> Statement {
    Statement::new(
        "SELECT count(*) FILTER (WHERE NOT success), count(*) FROM usage \
         WHERE run_id = $1 AND created_at > $2",
    )
    .bind(run_id)
    .bind(since)
}

/// The columns of [`CallTotals`].
pub const RUN_TOTALS_COLUMNS: &str = "calls, success_calls, fallback_calls, total_tokens, cost";

impl SqlRecord for CallTotals {
    fn read<R: SqlRow>(row: &mut R) -> Result<Self, R::Error> {
        ints(row).map(Self::from_array)
    }
}

/// The query of the sums of a run.
pub fn run_totals(run_id: &str) -> Statement {
    Statement::new(format!("SELECT {RUN_TOTALS_COLUMNS} FROM usage_runs WHERE run_id = $1"))
        .bind(run_id)
}

/// The queries of the sums of these runs, each with its run.
pub fn run_totals_by_run(run_ids: &[String]) -> Vec<Statement> {
    let parts = in_parts("run_id", run_ids).map(|(is_wanted, part)| {
        let sql = format!("SELECT run_id, {RUN_TOTALS_COLUMNS} FROM usage_runs WHERE {is_wanted}");
        part.iter().fold(Statement::new(sql), Statement::bind)
    });
    parts.collect()
}

/// Replaces the sums of a run.
pub fn put_run_totals(run_id: &str, totals: &CallTotals) -> Statement {
    Statement::new(upsert("usage_runs", "run_id", &format!("run_id, {RUN_TOTALS_COLUMNS}")))
        .bind(run_id)
        .bind_all(totals.to_array())
}

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

impl SqlRecord for PrunedCalls {
    fn read<R: SqlRow>(row: &mut R) -> Result<Self, R::Error> {
        Ok(Self {
            day: row.day()?,
            run_id: Some(row.text()?).filter(|run_id| !run_id.is_empty()),
            of_day: DayTotals::read(row)?,
            of_run: CallTotals::read(row)?,
        })
    }
}

/// The query of the sums of all pruned calls.
pub fn pruned_calls() -> Statement {
    Statement::new(format!(
        "SELECT day, run_id, {TOTALS_COLUMNS}, \
             calls_total, success_calls, fallback_calls, total_tokens, cost FROM usage_pruned"
    ))
}
