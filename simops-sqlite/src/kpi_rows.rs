//! Rows of visitors' events: sums per day, steps per visitor and day, progress of the merge.

use jiff::civil::Date;
use rusqlite::{Connection, OptionalExtension, params};
use simops::kpi::Days;
use simops::kpi::{DaySums, Steps};
use simops::store::sql::day_sums;
use uuid::Uuid;

use crate::codec::{Json, day_number, number_day};
use crate::error::Work;

/// The sums of a range of days, without those that are zero: its events were deleted.
pub(crate) fn days(connection: &Connection, first: Date, last: Date) -> Work<Days> {
    let mut statement =
        connection.prepare_cached("SELECT day, sums FROM kpi_days WHERE day BETWEEN ?1 AND ?2")?;
    let rows = statement.query_map([day_number(first), day_number(last)], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, Json<Vec<i64>>>(1)?.0))
    })?;
    let days = rows.map(|row| {
        let (day, sums) = row?;
        Ok((number_day(day)?, day_sums(&sums)?))
    });
    let mut days: Days = days.collect::<Work<_>>()?;
    days.retain(|_, sums| *sums != DaySums::default());
    Ok(days)
}

/// The sums of a day.
pub(crate) fn sums(connection: &Connection, day: Date) -> Work<DaySums> {
    let mut statement = connection.prepare_cached("SELECT sums FROM kpi_days WHERE day = ?1")?;
    let found = statement.query_row([day_number(day)], |row| row.get::<_, Json<Vec<i64>>>(0));
    Ok(found.optional()?.map_or(Ok(DaySums::default()), |Json(sums)| day_sums(&sums))?)
}

/// Replaces the sums of a day.
pub(crate) fn put_sums(connection: &Connection, day: Date, sums: &DaySums) -> Work<()> {
    let mut statement =
        connection.prepare_cached("INSERT OR REPLACE INTO kpi_days (day, sums) VALUES (?1, ?2)")?;
    statement.execute(params![day_number(day), Json(sums.to_array().as_slice())])?;
    Ok(())
}

/// Adds to the sums of a day. Sums that are missing or cannot be read are taken for zero. Whether there
/// were none.
pub(crate) fn add_to_sums(connection: &Connection, day: Date, change: &DaySums) -> Work<bool> {
    let mut statement = connection.prepare_cached("SELECT sums FROM kpi_days WHERE day = ?1")?;
    let stored =
        statement.query_row([day_number(day)], |row| row.get::<_, String>(0)).optional()?;
    let sums = stored.as_deref().and_then(|sums| serde_json::from_str::<Vec<i64>>(sums).ok());
    let sums = sums.and_then(|sums| day_sums(&sums).ok()).unwrap_or_default();
    put_sums(connection, day, &sums.plus(change))?;
    Ok(stored.is_none())
}

/// The days that have events.
pub(crate) fn known_days(connection: &Connection) -> Work<Vec<Date>> {
    let mut statement = connection.prepare_cached("SELECT day FROM kpi_days")?;
    let days = statement.query_map([], |row| row.get(0))?;
    days.map(|day| number_day(day?)).collect()
}

/// How far events were merged into the trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Merged {
    /// The id of the last event that was.
    pub(crate) last: i64,
    /// Increases when steps or days are changed otherwise than by a merge.
    pub(crate) invalidations: i64,
}

/// How far events were merged into the trees.
pub(crate) fn merged(connection: &Connection) -> Work<Merged> {
    let mut statement =
        connection.prepare_cached("SELECT covered, invalidations FROM kpi_progress")?;
    let read =
        |row: &rusqlite::Row<'_>| Ok(Merged { last: row.get(0)?, invalidations: row.get(1)? });
    Ok(statement.query_row([], read)?)
}

/// The id of the last event that was merged into the trees.
pub(crate) fn last_merged(connection: &Connection) -> Work<i64> {
    let mut statement = connection.prepare_cached("SELECT covered FROM kpi_progress")?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

/// Sets the id of the last event that was merged into the trees.
pub(crate) fn set_last_merged(connection: &Connection, last: i64) -> Work<()> {
    connection.prepare_cached("UPDATE kpi_progress SET covered = ?1")?.execute([last])?;
    Ok(())
}

/// The merged steps of a visitor on a day.
pub(crate) fn steps(connection: &Connection, visitor: Uuid, day: Date) -> Work<Steps> {
    let mut statement =
        connection.prepare_cached("SELECT steps FROM kpi_steps WHERE day = ?1 AND visitor = ?2")?;
    let key = params![day_number(day), visitor.as_bytes()];
    let stored = statement.query_row(key, |row| row.get(0)).optional()?;
    Ok(Steps(stored.unwrap_or_default()))
}

/// Replaces the steps of a visitor on a day.
pub(crate) fn put_steps(
    connection: &Connection,
    visitor: Uuid,
    day: Date,
    steps: Steps,
) -> Work<()> {
    connection
        .prepare_cached(
            "INSERT INTO kpi_steps (day, visitor, steps) VALUES (?1, ?2, ?3) \
             ON CONFLICT DO UPDATE SET steps = excluded.steps",
        )?
        .execute(params![day_number(day), visitor.as_bytes(), steps.0])?;
    Ok(())
}

/// Adds to the steps of a visitor on a day.
pub(crate) fn add_steps(
    connection: &Connection,
    visitor: Uuid,
    day: Date,
    steps: Steps,
) -> Work<()> {
    connection
        .prepare_cached(
            "INSERT INTO kpi_steps (day, visitor, steps) VALUES (?1, ?2, ?3) \
             ON CONFLICT DO UPDATE SET steps = steps | excluded.steps",
        )?
        .execute(params![day_number(day), visitor.as_bytes(), steps.0])?;
    Ok(())
}
