//! How values are stored: times as microseconds, days as text or numbers, JSON and words as text.

use jiff::civil::{Date, date};
use jiff::{Timestamp, ToSpan, Unit};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Params, Row};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use simops::store::sql::SqlRow;
pub(crate) use simops::store::sql::{count, one_more};
use simops::{Error, ErrorKind};
use uuid::Uuid;

use crate::error::Work;

/// A time as microseconds since 1970.
pub(crate) struct Micros(pub(crate) Timestamp);

impl ToSql for Micros {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.as_microsecond().into())
    }
}

impl FromSql for Micros {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let micros = Timestamp::from_microsecond(value.as_i64()?);
        micros.map(Self).map_err(|error| FromSqlError::Other(error.into()))
    }
}

/// A value as JSON text.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: Serialize> ToSql for Json<T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let text = serde_json::to_string(&self.0);
        text.map(Into::into).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
    }
}

impl<T: DeserializeOwned> FromSql for Json<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let read = serde_json::from_str(value.as_str()?);
        read.map(Self).map_err(|error| FromSqlError::Other(error.into()))
    }
}

/// A value as its name in the API.
pub(crate) struct Word<T>(pub(crate) T);

impl<T: Serialize> ToSql for Word<T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match serde_json::to_value(&self.0) {
            Ok(Value::String(word)) => Ok(word.into()),
            _ => Err(rusqlite::Error::ToSqlConversionFailure("not a word".into())),
        }
    }
}

impl<T: DeserializeOwned> FromSql for Word<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let read = serde_json::from_value(Value::from(value.as_str()?));
        read.map(Self).map_err(|error| FromSqlError::Other(error.into()))
    }
}

/// A row as the mapping of records reads it.
#[derive(Clone, Copy)]
pub(crate) struct Cells<'r, 's>(pub(crate) &'r Row<'s>);

impl SqlRow for Cells<'_, '_> {
    type Error = rusqlite::Error;

    fn is_null(&self, column: usize) -> rusqlite::Result<bool> {
        Ok(self.0.get_ref(column)? == ValueRef::Null)
    }

    fn int(&self, column: usize) -> rusqlite::Result<i64> {
        self.0.get(column)
    }

    fn flag(&self, column: usize) -> rusqlite::Result<bool> {
        self.0.get(column)
    }

    fn text(&self, column: usize) -> rusqlite::Result<String> {
        self.0.get(column)
    }

    fn time(&self, column: usize) -> rusqlite::Result<Timestamp> {
        self.0.get(column).map(|Micros(time)| time)
    }

    fn day(&self, column: usize) -> rusqlite::Result<Date> {
        let day = self.0.get_ref(column)?.as_str()?.parse();
        day.map_err(|error: jiff::Error| FromSqlError::Other(error.into()).into())
    }

    fn uuid(&self, column: usize) -> rusqlite::Result<Uuid> {
        self.0.get(column).map(Uuid::from_bytes)
    }

    fn json<T: DeserializeOwned>(&self, column: usize) -> rusqlite::Result<T> {
        self.0.get(column).map(|Json(value)| value)
    }

    fn word<T: DeserializeOwned>(&self, column: usize) -> rusqlite::Result<T> {
        self.0.get(column).map(|Word(value)| value)
    }

    fn unreadable(message: &'static str) -> rusqlite::Error {
        FromSqlError::Other(message.into()).into()
    }
}

/// Reads the first row of a query.
pub(crate) fn first<T>(
    connection: &Connection,
    sql: &str,
    values: impl Params,
    read: impl FnOnce(Cells<'_, '_>) -> rusqlite::Result<T>,
) -> Work<Option<T>> {
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row(values, |row| read(Cells(row))).optional()?)
}

/// Reads all rows of a query.
pub(crate) fn all<T>(
    connection: &Connection,
    sql: &str,
    values: impl Params,
    mut read: impl FnMut(Cells<'_, '_>) -> rusqlite::Result<T>,
) -> Work<Vec<T>> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(values, |row| read(Cells(row)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

const FIRST_DAY: Date = date(1970, 1, 1);

/// A day as the number of days since 1970.
pub(crate) fn day_number(day: Date) -> i64 {
    // Cannot fail: days are of equal length.
    FIRST_DAY.until((Unit::Day, day)).map_or(0, |span| span.get_days().into())
}

/// The day of a number.
pub(crate) fn number_day(number: i64) -> Work<Date> {
    let day = i32::try_from(number).ok().and_then(|days| FIRST_DAY.checked_add(days.days()).ok());
    let unreadable =
        || Error::new(ErrorKind::Unusable, "the database holds a day that cannot be read");
    day.ok_or_else(|| unreadable().into())
}
