//! What Postgres reports, in the terms of simops: the one place that knows its codes.

use simops::{Error, ErrorKind};

/// Why a piece of work was not done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Postgres could not, or could not be asked.
    Sql(sqlx::Error),
    /// The work itself decided so.
    Verdict(Error),
}

pub(crate) type Work<T> = Result<T, Failure>;

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Verdict(error)
    }
}

impl Failure {
    /// What the server itself says, as its five characters.
    fn code(&self) -> Option<String> {
        match self {
            Self::Sql(error) => error.as_database_error()?.code().map(Into::into),
            Self::Verdict(_) => None,
        }
    }

    /// Whether the server gave way to another transaction and undid this one: doing it again is
    /// right.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self.code().as_deref(), Some("40001" | "40P01"))
    }

    /// Whether the connection is of no use any more: it broke, the server ends, or it leads to one
    /// that takes no writes.
    pub(crate) fn spoils_connection(&self) -> bool {
        match (self, self.code().as_deref()) {
            (_, Some(code)) => ends_session(code),
            (Self::Sql(error), None) => is_broken(error),
            (Self::Verdict(_), None) => false,
        }
    }

    /// The error for the caller.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Verdict(error) => error,
            Self::Sql(error) => translate(error),
        }
    }
}

/// Whether a row was to be written that must be new, and is not.
pub(crate) fn is_duplicate(error: &Error) -> bool {
    let source = std::error::Error::source(error);
    let sql = source.and_then(|source| source.downcast_ref::<sqlx::Error>());
    let code = sql.and_then(|sql| sql.as_database_error()?.code());
    code.as_deref() == Some("23505")
}

/// The server ended the session or its process, was told to, recovers, or takes no writes.
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
            unusable("the database and simops agree on no TLS: see sslmode in DATABASE_URL")
        }
        (None, sqlx::Error::Configuration(_)) => {
            Error::invalid("DATABASE_URL", "is no address of a Postgres")
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
        "40001" | "40P01" => Error::unavailable("too many others write the same rows at once"),
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
            "a pooler mixes up prepared statements: set DATABASE_DIRECT_URL, or add \
             ?pooled=true to DATABASE_URL",
        ),
        "28000" | "28P01" => unusable("the database refuses the user or password of DATABASE_URL"),
        "3D000" => unusable("the server has no database of the name in DATABASE_URL: create it"),
        "42501" => unusable(
            "the user of DATABASE_URL may not do that in the database: it needs to own its schema",
        ),
        "42P07" => unusable(
            "another program has a table of the same name in this schema: use a database of its own",
        ),
        "42P01" | "42703" | "3F000" => {
            unusable("tables of simops are missing in the database: restore a backup")
        }
        "22021" => Error::invalid("text", "holds a NUL character, which the database cannot keep"),
        _ => match &code[..2.min(code.len())] {
            "08" | "53" | "57" | "58" => Error::unavailable("the database is in trouble"),
            "23" => {
                Error::internal("the database refused a change that contradicts what is stored")
            }
            "XX" => unusable("the database is corrupt: restore a backup"),
            _ => Error::internal("the database refused a statement"),
        },
    }
}

/// The same error for another caller; the cause stays with the first.
pub(crate) fn copy(error: &Error) -> Error {
    match error.kind() {
        ErrorKind::Unavailable => Error::unavailable(error.detail()),
        ErrorKind::Invalid => Error::invalid_fields(error.fields().to_vec()),
        kind => Error::new(kind, error.detail()),
    }
}
