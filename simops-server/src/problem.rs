//! Error responses: `application/problem+json` (RFC 9457).
//!
//! The one place that maps the library's error kinds to HTTP statuses.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use simops::{ErrorKind, FieldError};

/// The content type of problems.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// An error as the client sees it.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    status: StatusCode,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    retry_after: Option<Duration>,
    cause: Option<Cause>,
}

/// The cause of an error, for the log only.
#[derive(Debug, Clone)]
pub(crate) struct Cause(pub(crate) Arc<str>);

/// The body of a problem.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody<'a> {
    /// Always `about:blank`: the status is the type of the problem.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: &'a str,
    /// The HTTP status.
    status: u16,
    /// A sentence a person can act on.
    detail: &'a str,
    /// The invalid fields, with status 422.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(required = false)]
    errors: &'a [FieldError],
}

impl Problem {
    /// A problem with `status` and a sentence a person can act on.
    pub(crate) fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, detail: detail.into(), errors: Vec::new(), retry_after: None, cause: None }
    }

    /// 422 for one field.
    pub(crate) fn invalid(field: &str, message: &str) -> Self {
        simops::Error::invalid(field, message).into()
    }

    /// 404 for an unknown path.
    pub(crate) fn no_such_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, "There is nothing at this path")
    }

    /// 503, to be retried in 5 s.
    pub(crate) fn unavailable(detail: &'static str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(Duration::from_secs(5))
    }

    /// 500; `cause` goes to the log.
    pub(crate) fn internal(cause: String) -> Self {
        let detail = "Something went wrong inside simops; the log says what, \
                      under the id in this answer's x-request-id";
        let problem = Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail);
        Self { cause: Some(Cause(cause.into())), ..problem }
    }

    /// Sets `Retry-After` to `wait`.
    pub(crate) fn retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }
}

impl From<simops::Error> for Problem {
    fn from(error: simops::Error) -> Self {
        let status = match error.kind() {
            ErrorKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorKind::Rejected => StatusCode::BAD_REQUEST,
            ErrorKind::Conflict => StatusCode::CONFLICT,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Forbidden => StatusCode::FORBIDDEN,
            ErrorKind::Stale | ErrorKind::Unavailable | ErrorKind::Unusable => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            ErrorKind::Internal => return Self::internal(with_causes(&error)),
        };
        let mut problem = Self::new(status, error.detail().to_owned());
        problem.errors = error.fields().to_vec();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            problem.retry_after = Some(error.retry_after().unwrap_or(Duration::from_secs(5)));
            problem.cause = Some(Cause(with_causes(&error).into()));
        }
        problem
    }
}

fn with_causes(error: &simops::Error) -> String {
    anyhow::Chain::new(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

impl Problem {
    /// The body as JSON.
    pub(crate) fn body(&self) -> Vec<u8> {
        let body = ProblemBody {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            errors: &self.errors,
        };
        // Strings and numbers cannot fail to serialise.
        serde_json::to_vec(&body).unwrap_or_default()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let json = HeaderValue::from_static(PROBLEM_JSON);
        let body = self.body();
        let mut response = (self.status, [(header::CONTENT_TYPE, json)], body).into_response();
        let headers = response.headers_mut();
        if let Some(wait) = self.retry_after {
            // In whole seconds, rounded up.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let bearer = HeaderValue::from_static("Bearer realm=\"simops\"");
            headers.insert(header::WWW_AUTHENTICATE, bearer);
        }
        if let Some(cause) = self.cause {
            response.extensions_mut().insert(cause);
        }
        response
    }
}
