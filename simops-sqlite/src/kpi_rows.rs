//! Rows of visitors' events: sums per day, steps per visitor and day, progress of the merge.

use jiff::civil::Date;
use rusqlite::{Connection, OptionalExtension, params};
use simops::kpi::Days;
use simops::kpi::{DaySums, Steps};
use simops::store::rules::Recounter;
use simops::store::sql::{VisitorSteps, day_sums, kpi_kind};
use uuid::Uuid;

use crate::codec::{Json, day_number, number_day};
use crate::error::Work;

/// The sums of a range of days.
pub(crate) fn days(connection: &Connection, first: Date, last: Date) -> Work<Days> {
    let mut statement =
        connection.prepare_cached("SELECT day, sums FROM kpi_days WHERE day BETWEEN ?1 AND ?2")?;
    let rows = statement.query_map([day_number(first), day_number(last)], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, Json<Vec<i64>>>(1)?.0))
    })?;
    rows.map(|row| {
        let (day, sums) = row?;
        Ok((number_day(day)?, day_sums(&sums)?))
    })
    .collect()
}

/// The sums of every day that has any.
pub(crate) fn all_days(connection: &Connection) -> Work<Days> {
    days(connection, Date::MIN, Date::MAX)
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

/// The days that have events.
pub(crate) fn known_days(connection: &Connection) -> Work<Vec<Date>> {
    let mut statement = connection.prepare_cached("SELECT day FROM kpi_days")?;
    let days = statement.query_map([], |row| row.get(0))?;
    days.map(|day| number_day(day?)).collect()
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

/// All merged steps.
pub(crate) fn all_steps(connection: &Connection) -> Work<VisitorSteps> {
    let mut statement = connection.prepare("SELECT visitor, day, steps FROM kpi_steps")?;
    let rows = statement
        .query_map([], |row| Ok((Uuid::from_bytes(row.get(0)?), row.get(1)?, row.get(2)?)))?;
    rows.map(|row| {
        let (visitor, day, steps) = row?;
        Ok(((visitor, number_day(day)?), Steps(steps)))
    })
    .collect()
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

/// Adds what is kept of pruned events to a recount: their numbers, and the steps on their days.
pub(crate) fn add_pruned(connection: &Connection, recount: &mut Recounter) -> Work<()> {
    let mut statement = connection.prepare_cached("SELECT day, kind, events FROM kpi_pruned")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        recount.count_pruned(kpi_kind(row.get(1)?)?, number_day(row.get(0)?)?, row.get(2)?);
    }
    let mut statement = connection.prepare_cached(
        "SELECT visitor, day, steps FROM kpi_steps WHERE day IN (SELECT day FROM kpi_pruned)",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let visitor = Uuid::from_bytes(row.get(0)?);
        recount.add_known_steps(visitor, number_day(row.get(1)?)?, Steps(row.get(2)?));
    }
    Ok(())
}
