//! How values are stored: times as microseconds, JSON and words as text.

use jiff::civil::{Date, date};
use jiff::{Timestamp, ToSpan, Unit};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use simops::{Error, ErrorKind};

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

/// Anything as JSON text.
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

/// One of a few words, spelled as in the API.
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

/// How many rows to fetch for a page of `limit`: one more tells whether there is another page.
pub(crate) fn one_more(limit: usize) -> i64 {
    i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX)
}

/// A count as SQLite takes it.
pub(crate) fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

const FIRST_DAY: Date = date(1970, 1, 1);

/// A day as its number, counted from 1970.
pub(crate) fn day_number(day: Date) -> i64 {
    // Days have one length: this cannot fail.
    FIRST_DAY.until((Unit::Day, day)).map_or(0, |span| span.get_days().into())
}

/// The day of a number.
pub(crate) fn number_day(number: i64) -> Work<Date> {
    let day = i32::try_from(number).ok().and_then(|days| FIRST_DAY.checked_add(days.days()).ok());
    let unreadable =
        || Error::new(ErrorKind::Unusable, "the database holds no day where one is due");
    day.ok_or_else(|| unreadable().into())
}
