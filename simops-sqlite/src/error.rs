//! What SQLite reports, in the terms of simops.

use rusqlite::ErrorCode;
use simops::{Error, ErrorKind};

/// Why a piece of work was not done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// SQLite could not.
    Sqlite(rusqlite::Error),
    /// The work itself decided so.
    Verdict(Error),
}

pub(crate) type Work<T> = Result<T, Failure>;

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Verdict(error)
    }
}

impl Failure {
    fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Sqlite(error) => error.sqlite_error_code(),
            Self::Verdict(_) => None,
        }
    }

    /// Whether another process holds a lock that was waited for in vain.
    pub(crate) fn is_locked(&self) -> bool {
        matches!(self.code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
    }

    /// Whether the connection may hold wrong pages or dead files, so that only a new one can tell
    /// when the cause is gone.
    pub(crate) fn spoils_connection(&self) -> bool {
        matches!(
            self.code(),
            Some(
                ErrorCode::SystemIoFailure
                    | ErrorCode::DatabaseCorrupt
                    | ErrorCode::NotADatabase
                    | ErrorCode::CannotOpen
                    | ErrorCode::ReadOnly
                    | ErrorCode::FileLockingProtocolFailed
            )
        )
    }

    /// The same failure for somebody else; a cause that cannot be shared is told in words.
    pub(crate) fn again(&self) -> Self {
        match self {
            Self::Sqlite(rusqlite::Error::SqliteFailure(code, text)) => {
                Self::Sqlite(rusqlite::Error::SqliteFailure(*code, text.clone()))
            }
            Self::Sqlite(error) => Self::Verdict(Error::internal(error.to_string())),
            Self::Verdict(error) => Self::Verdict(copy(error)),
        }
    }

    /// The error for the caller.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Verdict(error) => error,
            Self::Sqlite(error) => translate(error),
        }
    }
}

fn translate(error: rusqlite::Error) -> Error {
    let unavailable = |detail: &str| Error::unavailable(detail);
    let unusable = |detail: &str| Error::new(ErrorKind::Unusable, detail);
    let described = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => unavailable("the disk is full"),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            unavailable("the database is locked by another process")
        }
        Some(ErrorCode::SystemIoFailure) => unavailable("the disk of the database fails"),
        Some(ErrorCode::ReadOnly) => unavailable("the database cannot be written: it is read-only"),
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => unavailable(
            "the database file cannot be opened: check that its folder exists and is writable",
        ),
        Some(ErrorCode::FileLockingProtocolFailed | ErrorCode::OutOfMemory) => {
            unavailable("the database is overloaded")
        }
        Some(ErrorCode::DatabaseCorrupt) => unusable("the database is corrupt: restore a backup"),
        Some(ErrorCode::NotADatabase) => unusable("the database file is no SQLite database"),
        Some(ErrorCode::ConstraintViolation) => {
            Error::internal("the database refused a change that contradicts what is stored")
        }
        Some(_) => Error::internal("the database refused a statement"),
        None => match error {
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..) => {
                unusable("the database holds a value that cannot be read")
            }
            _ => Error::internal("a statement for the database is wrong"),
        },
    };
    described.with_source(error)
}

/// The same error for another caller; the cause stays with the first.
pub(crate) fn copy(error: &Error) -> Error {
    match error.kind() {
        ErrorKind::Unavailable => Error::unavailable(error.detail()),
        kind => Error::new(kind, error.detail()),
    }
}
