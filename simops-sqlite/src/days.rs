//! The sums of a day: one row per day.

use jiff::civil::Date;
use rusqlite::{Connection, OptionalExtension, params};
use simops::store::sql::day_totals;
use simops::usage::DayUse;

use crate::codec::Cells;
use crate::error::Work;

/// The sums of `day`. They are added to in Rust and not in SQL, where a sum beyond `i64::MAX` would
/// become a float.
pub(crate) fn day_use(connection: &Connection, day: Date) -> Work<DayUse> {
    let mut statement = connection.prepare_cached(
        "SELECT calls_total, calls_openrouter_free, calls_groq, calls_gemini, calls_unpriced, cost, \
             reserved_calls_total, reserved_calls_openrouter_free, reserved_calls_groq, \
             reserved_calls_gemini, reserved_calls_unpriced, reserved_cost, version \
         FROM usage_days WHERE day = ?1",
    )?;
    let day_use = statement.query_row([day.to_string()], |row| {
        Ok(DayUse {
            settled: day_totals(Cells(row), 0)?,
            reserved: day_totals(Cells(row), 6)?,
            version: row.get(12)?,
        })
    });
    Ok(day_use.optional()?.unwrap_or_default())
}

/// Replaces the sums of `day`.
pub(crate) fn put_day_use(connection: &Connection, day: Date, day_use: &DayUse) -> Work<()> {
    let DayUse { settled, reserved, version } = day_use;
    let mut statement = connection.prepare_cached(
        "INSERT OR REPLACE INTO usage_days (day, calls_total, calls_openrouter_free, calls_groq, \
             calls_gemini, calls_unpriced, cost, reserved_calls_total, \
             reserved_calls_openrouter_free, reserved_calls_groq, reserved_calls_gemini, \
             reserved_calls_unpriced, reserved_cost, version) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    )?;
    statement.execute(params![
        day.to_string(),
        settled.calls_total,
        settled.calls_openrouter_free,
        settled.calls_groq,
        settled.calls_gemini,
        settled.calls_unpriced,
        settled.cost.0,
        reserved.calls_total,
        reserved.calls_openrouter_free,
        reserved.calls_groq,
        reserved.calls_gemini,
        reserved.calls_unpriced,
        reserved.cost.0,
        version,
    ])?;
    Ok(())
}
