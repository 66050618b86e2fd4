//! Errors of Postgres, and their translation to errors of simops. The one place that knows its codes.

use simops::store::sql::misfit;
use simops::{Error, ErrorKind};

/// Why a transaction failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Postgres or the connection to it failed.
    Sql(sqlx::Error),
    /// The transaction itself returned an error.
    Job(Error),
}

pub(crate) type Work<T> = Result<T, Failure>;

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Job(error)
    }
}

impl Failure {
    /// The SQLSTATE code of the server.
    fn code(&self) -> Option<String> {
        match self {
            Self::Sql(error) => error.as_database_error()?.code().map(Into::into),
            Self::Job(_) => None,
        }
    }

    /// Whether the server rolled this transaction back in favour of another: it must be retried.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self.code().as_deref(), Some("40001" | "40P01"))
    }

    /// Whether a lock was held for longer than the time limit.
    pub(crate) fn is_lock_timeout(&self) -> bool {
        self.code().as_deref() == Some("55P03")
    }

    /// Whether the connection must be closed: it broke, the server shuts down, or it is read-only.
    pub(crate) fn spoils_connection(&self) -> bool {
        match (self, self.code().as_deref()) {
            (_, Some(code)) => ends_session(code),
            (Self::Sql(error), None) => is_broken(error),
            (Self::Job(_), None) => false,
        }
    }

    /// The error for the caller.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Job(error) => error,
            Self::Sql(error) => translate(error),
        }
    }
}

/// Whether a unique constraint was violated.
pub(crate) fn is_duplicate(error: &Error) -> bool {
    let source = std::error::Error::source(error);
    let sql = source.and_then(|source| source.downcast_ref::<sqlx::Error>());
    let code = sql.and_then(|sql| sql.as_database_error()?.code());
    code.as_deref() == Some("23505")
}

/// Whether the server ended the session, shuts down, recovers or is read-only.
fn ends_session(code: &str) -> bool {
    code.starts_with("08")
        || matches!(code, "57P01" | "57P02" | "57P03" | "57P05" | "25006" | "25P03")
}

fn is_broken(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::Tls(_))
}

fn translate(error: sqlx::Error) -> Error {
    let code = error.as_database_error().and_then(|error| error.code().map(String::from));
    let described = match (code.as_deref(), &error) {
        (Some(code), _) => by_code(code),
        (None, sqlx::Error::PoolTimedOut | sqlx::Error::Io(_) | sqlx::Error::Protocol(_)) => {
            Error::unavailable("the database does not answer")
        }
        (None, sqlx::Error::PoolClosed) => Error::unavailable("the store is closed"),
        (None, sqlx::Error::Tls(_)) => {
            unusable("the TLS handshake with the database failed: see sslmode in DATABASE_URL")
        }
        (None, sqlx::Error::Configuration(_)) => {
            Error::invalid("DATABASE_URL", "is not the URL of a Postgres database")
        }
        (None, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)) => {
            unusable("the database holds a value that cannot be read")
        }
        (None, _) => Error::internal("a statement for the database is wrong"),
    };
    described.with_source(error)
}

fn unusable(detail: &str) -> Error {
    Error::new(ErrorKind::Unusable, detail)
}

/// Codes of appendix A of the manual of Postgres.
fn by_code(code: &str) -> Error {
    match code {
        "40001" | "40P01" => Error::unavailable("too many concurrent writes to the same rows"),
        "55P03" => Error::unavailable("a lock in the database is held for too long"),
        "57014" => Error::unavailable("the database takes too long"),
        "57P01" | "57P02" | "57P03" | "57P05" | "25P03" => {
            Error::unavailable("the database restarts or has ended the connection")
        }
        "25006" => Error::unavailable(
            "the database takes no writes: it is a standby, or was made read-only",
        ),
        "53100" => Error::unavailable("the disk of the database is full"),
        "53300" => Error::unavailable("the database has no connection left"),
        "26000" | "42P05" => Error::unavailable(
            "a pooler breaks prepared statements: set DATABASE_DIRECT_URL, or add \
             ?pooled=true to DATABASE_URL",
        ),
        "28000" | "28P01" => unusable("the database refuses the user or password of DATABASE_URL"),
        "3D000" => unusable("the server has no database of the name in DATABASE_URL: create it"),
        "42501" => unusable(
            "the user of DATABASE_URL lacks a permission in the database: it must own its schema",
        ),
        "42P07" => unusable(
            "another program has a table of the same name in this schema: use a database of its own",
        ),
        "42P01" | "42703" | "3F000" => misfit(),
        "22021" => Error::invalid("text", "holds a NUL character, which the database cannot keep"),
        _ => match &code[..2.min(code.len())] {
            "08" | "53" | "57" | "58" => {
                Error::unavailable("the database reports an internal problem")
            }
            "23" => {
                Error::internal("the database refused a change that contradicts what is stored")
            }
            "XX" => unusable("the database is corrupt: restore a backup"),
            _ => Error::internal("the database refused a statement"),
        },
    }
}
