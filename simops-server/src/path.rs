//! The parameter of a path.

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;

use crate::problem::Problem;

/// The one parameter of a path, percent-decoded. One that is not UTF-8 names nothing: 404.
pub(crate) struct PathParam(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for PathParam {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let params = RawPathParams::from_request_parts(parts, state).await;
        let params = params.map_err(|_| Problem::no_such_path())?;
        let value = params.iter().next().map(|(_, value)| Self(value.to_owned()));
        value.ok_or_else(Problem::no_such_path)
    }
}
