//! The library's error type: a kind that callers match on, a message for people, and whether a retry
//! can succeed.

use std::fmt;
use std::time::Duration;

/// A [`Result`](std::result::Result) with the library's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The category of an [`Error`], by which callers decide how to react.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// A field of the request is malformed or out of range; see [`Error::fields`].
    Invalid,
    /// The request is well formed but refers to something that is not allowed, such as an unknown
    /// setting or a missing parent run.
    Rejected,
    /// The request conflicts with the current state.
    Conflict,
    /// The requested object does not exist.
    NotFound,
    /// The environment or the write gate does not allow the operation.
    Forbidden,
    /// The state has changed since it was read; read it and decide again. Use cases of
    /// [`crate::ops::Ops`] never return this kind.
    Stale,
    /// The store is unreachable, locked or full. Nothing was changed, unless the method documents
    /// an unknown outcome.
    Unavailable,
    /// The stored data cannot be read: it is corrupt or was written by a newer version.
    Unusable,
    /// A bug in simops or in a host.
    Internal,
}

/// A field of a request that is malformed or out of range.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FieldError {
    /// The field's name, as the caller spelled it.
    pub field: String,
    /// A sentence that says which values are allowed.
    pub message: String,
}

/// An error with a kind, a message for people, and an optional cause.
#[derive(Debug, thiserror::Error)]
pub struct Error {
    kind: ErrorKind,
    detail: String,
    fields: Vec<FieldError>,
    retry_after: Option<Duration>,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl Error {
    /// Creates an error. `detail` is shown to people and must not contain secrets.
    pub fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), fields: Vec::new(), retry_after: None, source: None }
    }

    /// Creates an [`ErrorKind::Invalid`] error for one field.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::invalid_fields(vec![FieldError { field: field.into(), message: message.into() }])
    }

    /// Creates an [`ErrorKind::Invalid`] error for several fields; the message lists all of them.
    pub fn invalid_fields(fields: Vec<FieldError>) -> Self {
        let detail =
            fields.iter().map(|f| format!("{}: {}", f.field, f.message)).collect::<Vec<_>>();
        Self { fields, ..Self::new(ErrorKind::Invalid, detail.join("; ")) }
    }

    /// Creates an [`ErrorKind::Rejected`] error.
    pub fn rejected(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Rejected, detail)
    }

    /// Creates an [`ErrorKind::Conflict`] error.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, detail)
    }

    /// Creates an [`ErrorKind::NotFound`] error.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, detail)
    }

    /// Creates an [`ErrorKind::Forbidden`] error.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Forbidden, detail)
    }

    /// Creates an [`ErrorKind::Stale`] error.
    pub fn stale(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Stale, detail)
    }

    /// Creates an [`ErrorKind::Unavailable`] error that suggests a retry after one second.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self {
            retry_after: Some(Duration::from_secs(1)),
            ..Self::new(ErrorKind::Unavailable, detail)
        }
    }

    /// Creates an [`ErrorKind::Internal`] error.
    pub fn internal(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, detail)
    }

    /// Says when a retry can succeed.
    #[must_use]
    pub fn with_retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(
        self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync + 'static>>,
    ) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// Prefixes the message with its subject, as in `simops.db: the disk is full`.
    #[must_use]
    pub fn about(self, what: impl fmt::Display) -> Self {
        Self { detail: format!("{what}: {}", self.detail), ..self }
    }

    /// The category of the error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message for people.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The invalid fields. Empty unless the kind is [`ErrorKind::Invalid`].
    pub fn fields(&self) -> &[FieldError] {
        &self.fields
    }

    /// How long to wait before retrying the same call, if known.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Whether a retry of the same call can succeed without any other change.
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind, ErrorKind::Unavailable | ErrorKind::Stale)
    }
}
