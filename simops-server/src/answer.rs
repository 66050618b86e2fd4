//! Answers: JSON, or a problem.

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::problem::Problem;

/// What a handler gives.
pub(crate) type Answer<T> = Result<Json<T>, Problem>;

/// A value as JSON.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => json(body.into()),
            Err(error) => Problem::internal(error.to_string()).into_response(),
        }
    }
}

/// An answer whose body is JSON already.
pub(crate) fn json(body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    // Room for those that the edge adds.
    headers.reserve(7);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
