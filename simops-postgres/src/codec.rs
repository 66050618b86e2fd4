//! How values are stored: times and days as Postgres has them, JSON and words as text.

use jiff::civil::{Date, date};
use jiff::{Timestamp, ToSpan, Unit};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueRef};
use sqlx::{Decode, Encode, Postgres, Type};

/// Microseconds from 1970 to 2000, where Postgres begins to count.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
/// The day from which Postgres counts.
const EPOCH_DAY: Date = date(2000, 1, 1);

/// Long before any day that is stored, and not too early for Postgres.
const FIRST_DAY: Date = date(-4000, 1, 1);

/// Declares how a wrapper is typed: the type's number in Postgres, and that of its arrays.
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
    /// A bound that Postgres knows: its days begin in 4713 BC.
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

/// Anything as JSON text.
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

/// One of a few words, spelled as in the API.
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

/// How many rows to fetch for a page of `limit`: one more tells whether there is another page.
pub(crate) fn one_more(limit: usize) -> i64 {
    i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX)
}

/// A count as Postgres takes it.
pub(crate) fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
