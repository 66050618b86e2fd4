//! Rows of visitors' events: sums per day, steps per visitor and day, the lock of those who record.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use simops::kpi::{DaySums, Days, Steps, VisitorSteps};
use simops::store::sql::day_sums;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use crate::codec::Day;
use crate::error::Work;
use crate::link::Link;

/// Locks out other transactions that record, until the end of this one. Returns the token of the
/// stored steps.
pub(crate) async fn lock(connection: &mut Link) -> Work<Uuid> {
    let token = sqlx::query_as("SELECT token FROM kpi_line FOR UPDATE");
    let (token,): (Uuid,) = token.fetch_one(connection).await?;
    Ok(token)
}

/// Replaces the token, which invalidates what other processes remember of stored steps.
pub(crate) async fn replace_token(connection: &mut Link) -> Work<Uuid> {
    let token = Uuid::now_v7();
    sqlx::query("UPDATE kpi_line SET token = $1").bind(token).execute(connection).await?;
    Ok(token)
}

/// The sums of a range of days, without those that are zero: its events were deleted.
pub(crate) async fn days(connection: &mut Link, first: Date, last: Date) -> Work<Days> {
    let rows = sqlx::query("SELECT day, sums FROM kpi_days WHERE day BETWEEN $1 AND $2")
        .bind(Day::at_least(first))
        .bind(Day::at_least(last))
        .fetch_all(connection)
        .await?;
    let mut days = read_days(&rows)?;
    days.retain(|_, sums| *sums != DaySums::default());
    Ok(days)
}

/// The sums of some days.
pub(crate) async fn sums(connection: &mut Link, wanted: &BTreeSet<Date>) -> Work<Days> {
    let wanted: Vec<_> = wanted.iter().copied().map(Day).collect();
    let rows = sqlx::query("SELECT day, sums FROM kpi_days WHERE day = ANY($1)").bind(wanted);
    read_days(&rows.fetch_all(connection).await?)
}

fn read_days(rows: &[PgRow]) -> Work<Days> {
    let read =
        |row: &PgRow| Ok((row.try_get::<Day, _>(0)?.0, day_sums(&row.try_get::<Vec<i64>, _>(1)?)?));
    rows.iter().map(read).collect()
}

/// Replaces the sums of days.
pub(crate) async fn put_sums(connection: &mut Link, sums: &BTreeMap<Date, DaySums>) -> Work<()> {
    for (day, sums) in sums {
        sqlx::query(
            "INSERT INTO kpi_days (day, sums) VALUES ($1, $2) \
             ON CONFLICT (day) DO UPDATE SET sums = excluded.sums",
        )
        .bind(Day(*day))
        .bind(sums.to_array().as_slice())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// The stored steps of some visitors and days.
pub(crate) async fn steps(connection: &mut Link, keys: &[(Uuid, Date)]) -> Work<VisitorSteps> {
    if keys.is_empty() {
        return Ok(VisitorSteps::new());
    }
    let rows = sqlx::query(
        // The limit makes the planner look each key up instead of scanning the table.
        "SELECT asked.visitor, asked.day, found.steps \
         FROM unnest($1::uuid[], $2::date[]) AS asked (visitor, day), \
         LATERAL (SELECT steps FROM kpi_steps \
             WHERE kpi_steps.visitor = asked.visitor AND kpi_steps.day = asked.day LIMIT 1) AS found",
    )
    .bind(keys.iter().map(|(visitor, _)| *visitor).collect::<Vec<_>>())
    .bind(keys.iter().map(|(_, day)| Day(*day)).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    Ok(rows.iter().map(visitor_steps).collect::<sqlx::Result<_>>()?)
}

/// The visitor, day and steps of a row.
pub(crate) fn visitor_steps(row: &PgRow) -> sqlx::Result<((Uuid, Date), Steps)> {
    let (Day(day), bits): (_, i32) = (row.try_get(1)?, row.try_get(2)?);
    Ok(((row.try_get(0)?, day), Steps(u16::try_from(bits).unwrap_or_default())))
}

const INSERT_STEPS: &str = "INSERT INTO kpi_steps (visitor, day, steps) \
                            SELECT * FROM unnest($1::uuid[], $2::date[], $3::integer[])";

/// Inserts the steps of visitors and days that have none.
pub(crate) async fn insert_steps(connection: &mut Link, new: &[((Uuid, Date), Steps)]) -> Work<()> {
    write_steps(connection, INSERT_STEPS, new).await
}

/// Inserts or replaces steps.
pub(crate) async fn put_steps(
    connection: &mut Link,
    changed: &[((Uuid, Date), Steps)],
) -> Work<()> {
    let replacing = "ON CONFLICT (visitor, day) DO UPDATE SET steps = excluded.steps";
    write_steps(connection, &format!("{INSERT_STEPS} {replacing}"), changed).await
}

async fn write_steps(
    connection: &mut Link,
    statement: &str,
    steps: &[((Uuid, Date), Steps)],
) -> Work<()> {
    if steps.is_empty() {
        return Ok(());
    }
    sqlx::query(AssertSqlSafe(statement.to_owned()))
        .bind(steps.iter().map(|((visitor, _), _)| *visitor).collect::<Vec<_>>())
        .bind(steps.iter().map(|((_, day), _)| Day(*day)).collect::<Vec<_>>())
        .bind(steps.iter().map(|(_, steps)| i32::from(steps.0)).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

/// Deletes the steps of visitors and days.
pub(crate) async fn delete_steps(connection: &mut Link, keys: &[(Uuid, Date)]) -> Work<()> {
    sqlx::query(
        "DELETE FROM kpi_steps USING unnest($1::uuid[], $2::date[]) AS gone (visitor, day) \
         WHERE kpi_steps.visitor = gone.visitor AND kpi_steps.day = gone.day",
    )
    .bind(keys.iter().map(|(visitor, _)| *visitor).collect::<Vec<_>>())
    .bind(keys.iter().map(|(_, day)| Day(*day)).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}
