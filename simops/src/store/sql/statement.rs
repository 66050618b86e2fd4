//! Statements that every SQL store runs alike.

use std::borrow::Cow;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::usage::NanoUsd;

/// The value of a parameter. Nulls have a type, which Postgres asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum SqlValue {
    /// A 64-bit integer.
    Int(Option<i64>),
    /// A boolean.
    Flag(bool),
    /// A text.
    Text(Option<String>),
    /// A point in time.
    Time(Option<Timestamp>),
    /// A UTC day.
    Day(Date),
    /// A UUID.
    Uuid(Option<Uuid>),
    /// JSON.
    Json(String),
    /// A value that cannot be encoded, and why: the statement fails.
    Unencodable(String),
}

macro_rules! values {
    ($($from:ty: |$value:ident| $to:expr;)+) => {
        $(impl From<$from> for SqlValue {
            fn from($value: $from) -> Self {
                $to
            }
        })+
    };
}

values! {
    i64: |value| Self::Int(Some(value));
    Option<i64>: |value| Self::Int(value);
    u32: |value| Self::Int(Some(value.into()));
    u64: |value| Self::Int(Some(value.cast_signed()));
    NanoUsd: |value| Self::Int(Some(value.0));
    bool: |value| Self::Flag(value);
    &str: |value| Self::Text(Some(value.to_owned()));
    &String: |value| Self::Text(Some(value.clone()));
    Option<&str>: |value| Self::Text(value.map(str::to_owned));
    &Option<String>: |value| Self::Text(value.clone());
    Timestamp: |value| Self::Time(Some(value));
    Option<Timestamp>: |value| Self::Time(value);
    Date: |value| Self::Day(value);
    Uuid: |value| Self::Uuid(Some(value));
    Option<Uuid>: |value| Self::Uuid(value);
}

/// A statement and the values of its parameters `$1`, `$2` and so on.
///
/// The parameters must first occur in the order of their numbers: SQLite takes `$1` for a name and
/// numbers names as they occur.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// The text.
    pub sql: Cow<'static, str>,
    /// The values.
    pub values: Vec<SqlValue>,
    pub(super) is_repeatable: bool,
    pub(super) notifies: bool,
    pub(super) is_control: bool,
}

impl Statement {
    /// A statement without values.
    pub fn new(sql: impl Into<Cow<'static, str>>) -> Self {
        Self {
            sql: sql.into(),
            values: Vec::new(),
            is_repeatable: false,
            notifies: false,
            is_control: false,
        }
    }

    /// Adds the value of the next parameter.
    #[must_use]
    pub fn bind(mut self, value: impl Into<SqlValue>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Adds the values of the next parameters.
    #[must_use]
    pub fn bind_all(self, values: impl IntoIterator<Item = i64>) -> Self {
        values.into_iter().fold(self, Self::bind)
    }

    /// Adds a value that is stored as JSON.
    #[must_use]
    pub fn bind_json<T: Serialize>(self, value: &T) -> Self {
        let text = serde_json::to_string(value);
        self.bind(text.map_or_else(|e| SqlValue::Unencodable(e.to_string()), SqlValue::Json))
    }

    /// Adds a value that is stored as its name in the API. `None` is null.
    #[must_use]
    pub fn bind_word<T: Serialize>(self, value: &T) -> Self {
        self.bind(match serde_json::to_value(value) {
            Ok(Value::String(word)) => SqlValue::Text(Some(word)),
            Ok(Value::Null) => SqlValue::Text(None),
            _ => SqlValue::Unencodable("not a word".to_owned()),
        })
    }

    /// Running it once more has no further effect, so it is repeated when its outcome is unknown.
    #[must_use]
    pub fn repeatable(mut self) -> Self {
        self.is_repeatable = true;
        self
    }

    /// It belongs to run control; see [`SqlOperation::is_control`](super::SqlOperation::is_control).
    #[must_use]
    pub fn control(mut self) -> Self {
        self.is_control = true;
        self
    }

    /// Watchers are notified if it changes a row.
    #[must_use]
    pub fn notifying(mut self) -> Self {
        self.notifies = true;
        self
    }
}

/// The statement that inserts a row of `columns`, separated by `", "`.
pub fn insert(table: &str, columns: &str) -> String {
    let places: Vec<_> = (1..=columns.split(", ").count()).map(|n| format!("${n}")).collect();
    format!("INSERT INTO {table} ({columns}) VALUES ({})", places.join(", "))
}

/// As [`insert`], and replaces the values of a row whose `key` columns are the same. Such a row keeps
/// its other columns, as its place in a listing.
pub fn upsert(table: &str, key: &str, columns: &str) -> String {
    let is_key = |column: &&str| key.split(", ").any(|key| key == *column);
    let others = columns.split(", ").filter(|column| !is_key(column));
    let set: Vec<_> = others.map(|column| format!("{column} = excluded.{column}")).collect();
    let set = set.join(", ");
    format!("{} ON CONFLICT ({key}) DO UPDATE SET {set}", insert(table, columns))
}

/// The conditions `column IN (…)` that select `values`, in parts that statements have parameters for.
pub(super) fn in_parts<'a>(
    column: &'a str,
    values: &'a [String],
) -> impl Iterator<Item = (String, &'a [String])> {
    values.chunks(500).map(move |part| {
        let places: Vec<_> = (1..=part.len()).map(|n| format!("${n}")).collect();
        (format!("{column} IN ({})", places.join(", ")), part)
    })
}

/// Follows the name of a table in a query of its column `agent`, which older schemas lack: there it is
/// null. A natural join has one column of each name that both sides have, that of the table.
pub const LATER_AGENT: &str = " NATURAL LEFT JOIN (SELECT CAST(NULL AS TEXT) AS agent) AS absent";

/// The same for the later columns of the ledger, which have these values in older schemas.
pub const LATER_OF_CALLS: &str = " NATURAL LEFT JOIN (SELECT CAST(NULL AS TEXT) AS agent, \
                                  TRUE AS sent, FALSE AS over_reservation) AS absent";

/// A column of `table` that older schemas lack, which commands read as they are: there, its name means
/// `absent`, an SQL expression. `key` is a unique column.
pub(super) fn later_column(table: &str, key: &str, (column, absent): (&str, &str)) -> String {
    format!(
        "(SELECT (SELECT {column} FROM {table} AS present WHERE present.{key} = {table}.{key}) \
             FROM (SELECT {absent} AS {column}) AS absent)"
    )
}
