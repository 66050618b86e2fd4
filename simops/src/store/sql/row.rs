//! Rows of query results, and the records read from them.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::de::DeserializeOwned;
use serde::de::value::StringDeserializer;
use serde_json::Value;
use uuid::Uuid;

use crate::AgentId;

/// Stands for no number of an agent in a key, which cannot be null.
pub(super) const NO_AGENT: i64 = i64::MIN;

/// A row of a query result, read from its first column to its last: each method reads the next one.
///
/// # Errors
/// Reading returns the driver's error if the column is missing, has another type or holds a value
/// that the record cannot have.
pub trait SqlRow {
    /// The error of the driver.
    type Error;

    /// Whether the next column is null. If it is, it is skipped.
    fn skip_null(&mut self) -> Result<bool, Self::Error>;

    /// A 64-bit integer.
    fn int(&mut self) -> Result<i64, Self::Error>;

    /// A boolean.
    fn flag(&mut self) -> Result<bool, Self::Error>;

    /// A text.
    fn text(&mut self) -> Result<String, Self::Error>;

    /// A point in time.
    fn time(&mut self) -> Result<Timestamp, Self::Error>;

    /// A UTC day.
    fn day(&mut self) -> Result<Date, Self::Error>;

    /// A UUID.
    fn uuid(&mut self) -> Result<Uuid, Self::Error>;

    /// A value that is stored as JSON.
    fn json<T: DeserializeOwned>(&mut self) -> Result<T, Self::Error>;

    /// The error for a stored value that no record can have.
    fn unreadable(message: String) -> Self::Error;

    /// A value that is stored as its name in the API.
    fn word<T: DeserializeOwned>(&mut self) -> Result<T, Self::Error> {
        let word = StringDeserializer::<serde::de::value::Error>::new(self.text()?);
        T::deserialize(word).map_err(|error| Self::unreadable(error.to_string()))
    }

    /// An agent, in the columns `agent_id` and `agent`: its number, or its name. In keys, which take no
    /// null, the least integer and the empty name stand for it.
    fn agent(&mut self) -> Result<Option<AgentId>, Self::Error> {
        let number = self.optional(Self::int)?.filter(|number| *number != NO_AGENT);
        let name = self.optional(Self::text)?.filter(|name| !name.is_empty());
        Ok(name.map(AgentId::from).or(number.map(AgentId::from)))
    }

    /// A column that may be null, read by one of the other methods.
    fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Self::Error>,
    ) -> Result<Option<T>, Self::Error> {
        if self.skip_null()? { Ok(None) } else { read(self).map(Some) }
    }
}

/// What can be read from a row whose columns are selected in the order in which they are read.
pub trait SqlRecord: Sized + Send + 'static {
    /// Reads a record from the next columns.
    ///
    /// # Errors
    /// As the methods of [`SqlRow`].
    fn read<R: SqlRow>(row: &mut R) -> Result<Self, R::Error>;
}

/// Implements [`SqlRecord`] for types that a method of [`SqlRow`] reads.
macro_rules! read_by {
    ($($method:ident: $($record:ty),+;)+) => {
        $($(
            impl $crate::store::sql::SqlRecord for $record {
                fn read<R: $crate::store::sql::SqlRow>(row: &mut R) -> Result<Self, R::Error> {
                    row.$method()
                }
            }
        )+)+
    };
}
pub(super) use read_by;

read_by! {
    int: i64;
    flag: bool;
    text: String;
    time: Timestamp;
    day: Date;
    uuid: Uuid;
    json: Value;
}

/// A record of one column, or null.
impl<T: SqlRecord> SqlRecord for Option<T> {
    fn read<R: SqlRow>(row: &mut R) -> Result<Self, R::Error> {
        row.optional(T::read)
    }
}

impl<A: SqlRecord, B: SqlRecord> SqlRecord for (A, B) {
    fn read<R: SqlRow>(row: &mut R) -> Result<Self, R::Error> {
        Ok((A::read(row)?, B::read(row)?))
    }
}

impl<A: SqlRecord, B: SqlRecord, C: SqlRecord> SqlRecord for (A, B, C) {
    fn read<R: SqlRow>(row: &mut R) -> Result<Self, R::Error> {
        Ok((A::read(row)?, B::read(row)?, C::read(row)?))
    }
}
