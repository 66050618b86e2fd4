//! How values are stored: times and days in Postgres's types, JSON as text.

use jiff::civil::{Date, date};
use jiff::{Timestamp, ToSpan, Unit};
use serde::Serialize;
use serde::de::DeserializeOwned;
use simops::store::sql::{SqlRecord, SqlRow, SqlValue, Statement};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{
    PgArgumentBuffer, PgArguments, PgHasArrayType, PgRow, PgTypeInfo, PgValueRef,
};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Decode, Encode, Postgres, Row, Type, ValueRef};
use uuid::Uuid;

use crate::error::Work;
use crate::link::Link;

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

/// JSON that is text already.
struct RawJson<'t>(&'t str);

impl Type<Postgres> for RawJson<'_> {
    fn type_info() -> PgTypeInfo {
        Json::<()>::type_info()
    }
}

impl Encode<'_, Postgres> for RawJson<'_> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        <&str as Encode<Postgres>>::encode(self.0, buffer)
    }
}

impl<T: DeserializeOwned> Decode<'_, Postgres> for Json<T> {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        Ok(Self(serde_json::from_slice(value.as_bytes()?)?))
    }
}

/// A statement of [`simops::store::sql`] as a query with its values.
pub(crate) fn query(statement: &Statement) -> sqlx::Result<Query<'static, Postgres, PgArguments>> {
    let mut query = sqlx::query(AssertSqlSafe(statement.sql.clone()));
    for value in &statement.values {
        query = match value {
            SqlValue::Int(value) => query.bind(value),
            SqlValue::Flag(value) => query.bind(value),
            SqlValue::Text(value) => query.bind(value),
            SqlValue::Time(value) => query.bind(value.map(Micros)),
            SqlValue::Day(value) => query.bind(Day::at_least(*value)),
            SqlValue::Uuid(value) => query.bind(value),
            SqlValue::Json(value) => query.bind(RawJson(value)),
            SqlValue::Unencodable(why) => return Err(sqlx::Error::Encode(why.as_str().into())),
        };
    }
    Ok(query)
}

/// Runs a statement; the number of rows that it changed.
pub(crate) async fn execute(connection: &mut Link, statement: &Statement) -> Work<u64> {
    Ok(query(statement)?.execute(connection).await?.rows_affected())
}

/// Reads all rows of a statement.
pub(crate) async fn all<T: SqlRecord>(
    connection: &mut Link,
    statement: &Statement,
) -> Work<Vec<T>> {
    Ok(records(&query(statement)?.fetch_all(connection).await?)?)
}

/// Reads the first row of a statement.
pub(crate) async fn first<T: SqlRecord>(
    connection: &mut Link,
    statement: &Statement,
) -> Work<Option<T>> {
    let row = query(statement)?.fetch_optional(connection).await?;
    Ok(row.as_ref().map(Cells::record).transpose()?)
}

/// Reads a record from each row.
pub(crate) fn records<T: SqlRecord, C: FromIterator<T>>(rows: &[PgRow]) -> sqlx::Result<C> {
    rows.iter().map(Cells::record).collect()
}

/// A row that is read column by column.
pub(crate) struct Cells<'r> {
    row: &'r PgRow,
    next: usize,
}

impl<'r> Cells<'r> {
    /// Reads a record from all columns of `row`.
    pub(crate) fn record<T: SqlRecord>(row: &'r PgRow) -> sqlx::Result<T> {
        T::read(&mut Self { row, next: 0 })
    }

    fn get<T: Decode<'r, Postgres> + Type<Postgres>>(&mut self) -> sqlx::Result<T> {
        self.next += 1;
        self.row.try_get(self.next - 1)
    }
}

impl SqlRow for Cells<'_> {
    type Error = sqlx::Error;

    fn skip_null(&mut self) -> sqlx::Result<bool> {
        let is_null = self.row.try_get_raw(self.next)?.is_null();
        self.next += usize::from(is_null);
        Ok(is_null)
    }

    fn int(&mut self) -> sqlx::Result<i64> {
        self.get()
    }

    fn flag(&mut self) -> sqlx::Result<bool> {
        self.get()
    }

    fn text(&mut self) -> sqlx::Result<String> {
        self.get()
    }

    fn time(&mut self) -> sqlx::Result<Timestamp> {
        self.get().map(|Micros(time)| time)
    }

    fn day(&mut self) -> sqlx::Result<Date> {
        self.get().map(|Day(day)| day)
    }

    fn uuid(&mut self) -> sqlx::Result<Uuid> {
        self.get()
    }

    fn json<T: DeserializeOwned>(&mut self) -> sqlx::Result<T> {
        self.get().map(|Json(value)| value)
    }

    fn unreadable(message: String) -> sqlx::Error {
        sqlx::Error::Decode(message.into())
    }
}
