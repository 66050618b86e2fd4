//! The sums of days: one row per day.

use std::collections::BTreeMap;

use jiff::civil::Date;
use simops::store::sql::day_totals;
use simops::usage::DayUse;
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::codec::{Cells, Day};
use crate::error::Work;
use crate::link::Link;

/// The sums of `days`. Days without sums are missing.
pub(crate) async fn day_uses(
    connection: &mut Link,
    days: impl IntoIterator<Item = Date>,
) -> Work<BTreeMap<Date, DayUse>> {
    let rows = sqlx::query(
        "SELECT calls_total, calls_openrouter_free, calls_groq, calls_gemini, calls_unpriced, \
             cost, reserved_calls_total, reserved_calls_openrouter_free, reserved_calls_groq, \
             reserved_calls_gemini, reserved_calls_unpriced, reserved_cost, version, day \
         FROM usage_days WHERE day = ANY($1)",
    )
    .bind(days.into_iter().map(Day).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let day_uses = rows.iter().map(|row| Ok((row.try_get::<Day, _>("day")?.0, day_use(row)?)));
    Ok(day_uses.collect::<sqlx::Result<_>>()?)
}

fn day_use(row: &PgRow) -> sqlx::Result<DayUse> {
    Ok(DayUse {
        settled: day_totals(Cells(row), 0)?,
        reserved: day_totals(Cells(row), 6)?,
        version: row.try_get::<i64, _>(12)?.cast_unsigned(),
    })
}

/// Replaces the sums of a day.
pub(crate) async fn put_day_use(connection: &mut Link, day: Date, day_use: &DayUse) -> Work<()> {
    let DayUse { settled, reserved, version } = day_use;
    let mut query = sqlx::query(
        "INSERT INTO usage_days (day, calls_total, calls_openrouter_free, calls_groq, \
             calls_gemini, calls_unpriced, cost, reserved_calls_total, \
             reserved_calls_openrouter_free, reserved_calls_groq, reserved_calls_gemini, \
             reserved_calls_unpriced, reserved_cost, version) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) \
         ON CONFLICT (day) DO UPDATE SET calls_total = $2, calls_openrouter_free = $3, \
             calls_groq = $4, calls_gemini = $5, calls_unpriced = $6, cost = $7, \
             reserved_calls_total = $8, reserved_calls_openrouter_free = $9, \
             reserved_calls_groq = $10, reserved_calls_gemini = $11, \
             reserved_calls_unpriced = $12, reserved_cost = $13, version = $14",
    )
    .bind(Day(day));
    for totals in [settled, reserved] {
        for sum in totals.to_array() {
            query = query.bind(sum);
        }
    }
    query.bind(version.cast_signed()).execute(connection).await?;
    Ok(())
}
