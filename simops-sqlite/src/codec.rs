//! How values are stored: times as microseconds, days as text or numbers, JSON as text.

use jiff::civil::{Date, date};
use jiff::{Timestamp, ToSpan, Unit};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, Null, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};
use serde::Serialize;
use serde::de::DeserializeOwned;
use simops::store::sql::{SqlRecord, SqlRow, SqlValue, Statement};
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

/// A day as text.
struct Day(Date);

impl FromSql for Day {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let day = value.as_str()?.parse();
        day.map(Self).map_err(|error: jiff::Error| FromSqlError::Other(error.into()))
    }
}

/// The value of a parameter of a [`Statement`].
struct Bound<'v>(&'v SqlValue);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self.0 {
            SqlValue::Int(value) => value.to_sql(),
            SqlValue::Flag(value) => value.to_sql(),
            SqlValue::Text(value) => value.to_sql(),
            SqlValue::Time(None) | SqlValue::Uuid(None) => Ok(Null.into()),
            SqlValue::Time(Some(value)) => Ok(value.as_microsecond().into()),
            SqlValue::Day(value) => Ok(value.to_string().into()),
            SqlValue::Uuid(Some(value)) => value.as_bytes().to_sql(),
            SqlValue::Json(value) => value.to_sql(),
            SqlValue::Unencodable(why) => {
                Err(rusqlite::Error::ToSqlConversionFailure(why.as_str().into()))
            }
        }
    }
}

/// A row that is read column by column.
pub(crate) struct Cells<'r, 's> {
    row: &'r Row<'s>,
    next: usize,
}

impl<'r, 's> Cells<'r, 's> {
    /// Reads a record from all columns of `row`.
    pub(crate) fn record<T: SqlRecord>(row: &'r Row<'s>) -> rusqlite::Result<T> {
        T::read(&mut Self { row, next: 0 })
    }

    fn get<T: FromSql>(&mut self) -> rusqlite::Result<T> {
        self.next += 1;
        self.row.get(self.next - 1)
    }
}

impl SqlRow for Cells<'_, '_> {
    type Error = rusqlite::Error;

    fn skip_null(&mut self) -> rusqlite::Result<bool> {
        let is_null = self.row.get_ref(self.next)? == ValueRef::Null;
        self.next += usize::from(is_null);
        Ok(is_null)
    }

    fn int(&mut self) -> rusqlite::Result<i64> {
        self.get()
    }

    fn flag(&mut self) -> rusqlite::Result<bool> {
        self.get()
    }

    fn text(&mut self) -> rusqlite::Result<String> {
        self.get()
    }

    fn time(&mut self) -> rusqlite::Result<Timestamp> {
        self.get().map(|Micros(time)| time)
    }

    fn day(&mut self) -> rusqlite::Result<Date> {
        self.get().map(|Day(day)| day)
    }

    fn uuid(&mut self) -> rusqlite::Result<Uuid> {
        self.get().map(Uuid::from_bytes)
    }

    fn json<T: DeserializeOwned>(&mut self) -> rusqlite::Result<T> {
        self.get().map(|Json(value)| value)
    }

    fn unreadable(message: String) -> rusqlite::Error {
        FromSqlError::Other(message.into()).into()
    }
}

/// Runs a statement; the number of rows that it changed.
pub(crate) fn execute(connection: &Connection, statement: &Statement) -> Work<u64> {
    let mut prepared = connection.prepare_cached(&statement.sql)?;
    Ok(prepared.execute(params_from_iter(statement.values.iter().map(Bound)))? as u64)
}

/// Reads the first row of a statement.
pub(crate) fn first<T: SqlRecord>(
    connection: &Connection,
    statement: &Statement,
) -> Work<Option<T>> {
    let mut prepared = connection.prepare_cached(&statement.sql)?;
    let values = params_from_iter(statement.values.iter().map(Bound));
    Ok(prepared.query_row(values, |row| Cells::record(row)).optional()?)
}

/// Reads the row of a statement that always has one.
pub(crate) fn one<T: SqlRecord>(connection: &Connection, statement: &Statement) -> Work<T> {
    Ok(first(connection, statement)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?)
}

/// Reads all rows of a statement.
pub(crate) fn all<T: SqlRecord>(connection: &Connection, statement: &Statement) -> Work<Vec<T>> {
    let mut prepared = connection.prepare_cached(&statement.sql)?;
    let values = params_from_iter(statement.values.iter().map(Bound));
    let rows = prepared.query_map(values, |row| Cells::record(row))?;
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
