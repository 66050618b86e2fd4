//! How values are stored: times and days in Postgres's types, JSON and words as text.

use jiff::civil::{Date, date};
use jiff::{Timestamp, ToSpan, Unit};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use simops::store::sql::SqlRow;
pub(crate) use simops::store::sql::{count, one_more};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgRow, PgTypeInfo, PgValueRef};
use sqlx::{Decode, Encode, Postgres, Row, Type, ValueRef};
use uuid::Uuid;

/// Microseconds from 1970 to 2000, the epoch of Postgres.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
/// The epoch of Postgres.
const EPOCH_DAY: Date = date(2000, 1, 1);

/// Before any stored day, and within the range of Postgres.
const FIRST_DAY: Date = date(-4000, 1, 1);

/// Declares the type of a wrapper: the OIDs of the type and of its arrays.
macro_rules! pg_type {
    ($wrapper:ident $(<$T:ident>)?: $oid:literal, $array:literal) => {
        impl$(<$T>)? Type<Postgres> for $wrapper$(<$T>)? {
            fn type_info() -> PgTypeInfo {
                PgTypeInfo::with_oid(Oid($oid))
            }

            fn compatible(of: &PgTypeInfo) -> bool {
                of.oid() == Some(Oid($oid))
            }
        }

        impl$(<$T>)? PgHasArrayType for $wrapper$(<$T>)? {
            fn array_type_info() -> PgTypeInfo {
                PgTypeInfo::with_oid(Oid($array))
            }
        }
    };
}

/// A time, to the microsecond.
#[derive(Clone, Copy)]
pub(crate) struct Micros(pub(crate) Timestamp);

pg_type!(Micros: 1184, 1185);

impl Encode<'_, Postgres> for Micros {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let micros = self.0.as_microsecond() - EPOCH_MICROS;
        <i64 as Encode<Postgres>>::encode(micros, buffer)
    }
}

impl Decode<'_, Postgres> for Micros {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        let micros = <i64 as Decode<Postgres>>::decode(value)?.saturating_add(EPOCH_MICROS);
        Ok(Self(Timestamp::from_microsecond(micros)?))
    }
}

/// A UTC day.
#[derive(Clone, Copy)]
pub(crate) struct Day(pub(crate) Date);

pg_type!(Day: 1082, 1182);

impl Day {
    /// A lower bound within the range of Postgres, whose days begin in 4713 BC.
    pub(crate) fn at_least(day: Date) -> Self {
        Self(day.max(FIRST_DAY))
    }
}

impl Encode<'_, Postgres> for Day {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let days = self.0.since((Unit::Day, EPOCH_DAY))?.get_days();
        <i32 as Encode<Postgres>>::encode(days, buffer)
    }
}

impl Decode<'_, Postgres> for Day {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        let days = <i32 as Decode<Postgres>>::decode(value)?;
        Ok(Self(EPOCH_DAY.checked_add(days.days())?))
    }
}

/// A value as JSON text.
#[derive(Clone, Copy)]
pub(crate) struct Json<T>(pub(crate) T);

pg_type!(Json<T>: 114, 199);

impl<T: Serialize> Encode<'_, Postgres> for Json<T> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        serde_json::to_writer(&mut **buffer, &self.0)?;
        Ok(IsNull::No)
    }
}

impl<T: DeserializeOwned> Decode<'_, Postgres> for Json<T> {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        Ok(Self(serde_json::from_slice(value.as_bytes()?)?))
    }
}

/// A value as its name in the API.
#[derive(Clone, Copy)]
pub(crate) struct Word<T>(pub(crate) T);

pg_type!(Word<T>: 25, 1009);

impl<T: Serialize> Encode<'_, Postgres> for Word<T> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        match serde_json::to_value(&self.0)? {
            Value::String(word) => <&str as Encode<Postgres>>::encode(&word, buffer),
            _ => Err("not a word".into()),
        }
    }
}

impl<T: DeserializeOwned> Decode<'_, Postgres> for Word<T> {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        Ok(Self(serde_json::from_value(Value::from(value.as_str()?))?))
    }
}

/// A row as the mapping of records reads it.
#[derive(Clone, Copy)]
pub(crate) struct Cells<'r>(pub(crate) &'r PgRow);

impl SqlRow for Cells<'_> {
    type Error = sqlx::Error;

    fn is_null(&self, column: usize) -> sqlx::Result<bool> {
        Ok(self.0.try_get_raw(column)?.is_null())
    }

    fn int(&self, column: usize) -> sqlx::Result<i64> {
        self.0.try_get(column)
    }

    fn flag(&self, column: usize) -> sqlx::Result<bool> {
        self.0.try_get(column)
    }

    fn text(&self, column: usize) -> sqlx::Result<String> {
        self.0.try_get(column)
    }

    fn time(&self, column: usize) -> sqlx::Result<Timestamp> {
        self.0.try_get(column).map(|Micros(time)| time)
    }

    fn day(&self, column: usize) -> sqlx::Result<Date> {
        self.0.try_get(column).map(|Day(day)| day)
    }

    fn uuid(&self, column: usize) -> sqlx::Result<Uuid> {
        self.0.try_get(column)
    }

    fn json<T: DeserializeOwned>(&self, column: usize) -> sqlx::Result<T> {
        self.0.try_get(column).map(|Json(value)| value)
    }

    fn word<T: DeserializeOwned>(&self, column: usize) -> sqlx::Result<T> {
        self.0.try_get(column).map(|Word(value)| value)
    }

    fn unreadable(message: &'static str) -> sqlx::Error {
        sqlx::Error::Decode(message.into())
    }
}
