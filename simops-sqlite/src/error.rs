//! Errors of SQLite, and their translation to errors of simops.

use rusqlite::ErrorCode;
use simops::store::sql::{copy_error, misfit};
use simops::{Error, ErrorKind};

/// Why a job failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// SQLite failed.
    Sqlite(rusqlite::Error),
    /// The job itself returned an error.
    Job(Error),
}

pub(crate) type Work<T> = Result<T, Failure>;

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Job(error)
    }
}

impl Failure {
    fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Sqlite(error) => error.sqlite_error_code(),
            Self::Job(_) => None,
        }
    }

    /// Whether a lock of another process was not released in time.
    pub(crate) fn is_locked(&self) -> bool {
        matches!(self.code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
    }

    /// Whether the disk has no space left.
    pub(crate) fn is_disk_full(&self) -> bool {
        self.code() == Some(ErrorCode::DiskFull)
    }

    /// Whether the connection may hold stale pages or file handles and must be replaced.
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

    /// A copy for another caller. A cause that cannot be cloned is converted to text.
    pub(crate) fn copy(&self) -> Self {
        match self {
            Self::Sqlite(rusqlite::Error::SqliteFailure(code, text)) => {
                Self::Sqlite(rusqlite::Error::SqliteFailure(*code, text.clone()))
            }
            Self::Sqlite(error) => Self::Job(Error::internal(error.to_string())),
            Self::Job(error) => Self::Job(copy_error(error)),
        }
    }

    /// The error for the caller.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Job(error) => error,
            Self::Sqlite(error) => translate(error),
        }
    }
}

/// SQLite has no code for it.
fn lacks_table_or_column(error: &rusqlite::Error) -> bool {
    let text = error.to_string();
    ["no such table", "no such column", "has no column named"]
        .iter()
        .any(|lack| text.contains(lack))
}

fn translate(error: rusqlite::Error) -> Error {
    let unavailable = |detail: &str| Error::unavailable(detail);
    let unusable = |detail: &str| Error::new(ErrorKind::Unusable, detail);
    let described = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => unavailable("the disk is full"),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            unavailable("the database is locked by another process")
        }
        Some(ErrorCode::OperationInterrupted) => unavailable("the call was given up"),
        Some(ErrorCode::SystemIoFailure) => {
            unavailable("reading or writing the disk of the database failed")
        }
        Some(ErrorCode::ReadOnly) => unavailable(
            "the database cannot be written: its file, or its -wal or -shm file, is read-only",
        ),
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
        Some(ErrorCode::Unknown) | None if lacks_table_or_column(&error) => misfit(),
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
