//! One error for the whole library: what kind it is, what to tell a person, whether a retry helps.

use std::fmt;
use std::time::Duration;

/// The library's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, in the terms a caller acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// A field is out of its form; see [`Error::fields`].
    Invalid,
    /// Well formed, but it cannot be granted: an unknown setting, a missing parent run.
    Rejected,
    /// It conflicts with the current state.
    Conflict,
    /// The thing named does not exist.
    NotFound,
    /// The environment forbids it.
    Forbidden,
    /// The state moved since it was read: decide again. Never leaves [`crate::ops::Ops`].
    Stale,
    /// The store is away, locked or full. Nothing was changed that was not acknowledged, except
    /// where a method documents an unknown outcome.
    Unavailable,
    /// What is stored cannot be used: corrupt, or written by a newer version.
    Unusable,
    /// A defect of simops or of a host.
    Internal,
}

/// One field of a request that is out of its form.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FieldError {
    /// The field, as the caller spelled it.
    pub field: String,
    /// What is allowed, as a sentence.
    pub message: String,
}

/// An error with its kind, a sentence a person can act on, and its cause.
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
    /// An error of `kind`; `detail` is shown to people, so it names no secret.
    pub fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), fields: Vec::new(), retry_after: None, source: None }
    }

    /// [`ErrorKind::Invalid`] for one field.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::invalid_fields(vec![FieldError { field: field.into(), message: message.into() }])
    }

    /// [`ErrorKind::Invalid`] for several fields at once; the detail lists them.
    pub fn invalid_fields(fields: Vec<FieldError>) -> Self {
        let detail =
            fields.iter().map(|f| format!("{}: {}", f.field, f.message)).collect::<Vec<_>>();
        Self { fields, ..Self::new(ErrorKind::Invalid, detail.join("; ")) }
    }

    /// [`ErrorKind::Rejected`].
    pub fn rejected(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Rejected, detail)
    }

    /// [`ErrorKind::Conflict`].
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, detail)
    }

    /// [`ErrorKind::NotFound`].
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, detail)
    }

    /// [`ErrorKind::Forbidden`].
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Forbidden, detail)
    }

    /// [`ErrorKind::Stale`].
    pub fn stale(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Stale, detail)
    }

    /// [`ErrorKind::Unavailable`], worth a retry after a second.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self {
            retry_after: Some(Duration::from_secs(1)),
            ..Self::new(ErrorKind::Unavailable, detail)
        }
    }

    /// [`ErrorKind::Internal`].
    pub fn internal(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, detail)
    }

    /// The same error with its cause.
    #[must_use]
    pub fn with_source(
        self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync + 'static>>,
    ) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// The same error, its sentence led by what it is about: `simops.db: the disk is full`.
    #[must_use]
    pub fn about(self, what: impl fmt::Display) -> Self {
        Self { detail: format!("{what}: {}", self.detail), ..self }
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The sentence for a person.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The fields out of their form; empty but for [`ErrorKind::Invalid`].
    pub fn fields(&self) -> &[FieldError] {
        &self.fields
    }

    /// How long to wait before the same call may succeed.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Whether the same call may succeed later without any other change.
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind, ErrorKind::Unavailable | ErrorKind::Stale)
    }
}
