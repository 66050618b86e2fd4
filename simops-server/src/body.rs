//! Reads a request's body as JSON, bounded in size and time.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::problem::Problem;

/// Maximum size of a body.
pub(crate) const MAX_BYTES: usize = 1024 * 1024;
/// Time limit for reading a body.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of a refused body is read and discarded.
const MAX_DRAIN_BYTES: usize = 16 * 1024 * 1024;
/// How long a refused body is read and discarded.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// A body that is not empty must have a JSON content type.
pub(crate) fn check_type(headers: &HeaderMap, body: &Body) -> Result<(), Problem> {
    if body.is_end_stream() || body.size_hint().exact() == Some(0) {
        return Ok(());
    }
    let essence = content_type(headers).unwrap_or_default();
    let is_json = essence == "application/json"
        || essence.strip_prefix("application/").is_some_and(|rest| rest.ends_with("+json"));
    if is_json {
        return Ok(());
    }
    let detail = "The body must be JSON, with Content-Type: application/json";
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
}

/// The content type without its parameters, in lower case.
pub(crate) fn content_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(text.split(';').next()?.trim().to_ascii_lowercase())
}

/// Reads the body of a request that was admitted, and returns what admitted it. The body of a refused
/// one is drained.
///
/// # Errors
/// Why it was refused; as [`read`].
pub(crate) async fn read_admitted<T>(
    admitted: Result<T, Problem>,
    body: Body,
) -> Result<(T, Bytes), Problem> {
    match admitted {
        Ok(permit) => Ok((permit, read(body).await?)),
        Err(problem) => {
            drain(body).await;
            Err(problem)
        }
    }
}

/// The whole body.
///
/// # Errors
/// 413 over [`MAX_BYTES`], 408 if it takes over 10 s, 400 if the connection ends early.
async fn read(mut body: Body) -> Result<Bytes, Problem> {
    if body.size_hint().lower() > MAX_BYTES as u64 {
        drain(body).await;
        return Err(too_large());
    }
    let collected = Limited::new(&mut body, MAX_BYTES).collect();
    match tokio::time::timeout(READ_TIMEOUT, collected).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            drain(body).await;
            Err(too_large())
        }
        Ok(Err(_)) => {
            let detail = "The body did not arrive whole";
            Err(Problem::new(StatusCode::BAD_REQUEST, detail))
        }
        Err(_) => {
            let detail = "The body did not arrive within 10 seconds";
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, detail))
        }
    }
}

/// Reads and discards the rest of a refused body, within bounds. A client whose connection is
/// closed while it sends would not read the response.
async fn drain(mut body: Body) {
    let discard = async {
        let mut left = MAX_DRAIN_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            let Some(rest) = left.checked_sub(length) else { break };
            left = rest;
        }
    };
    // After the time limit, the connection is closed.
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, discard).await;
}

fn too_large() -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "The body is larger than 1 MiB")
}

/// Parses an object as `T`. An empty body counts as an empty object.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let value: Value = if bytes.trim_ascii().is_empty() {
        Value::Object(Map::new())
    } else {
        serde_json::from_slice(bytes)
            .map_err(|error| Problem::invalid("body", &format!("must be JSON: {error}")))?
    };
    if !value.is_object() {
        return Err(Problem::invalid("body", "must be a JSON object"));
    }
    serde_path_to_error::deserialize(value).map_err(|error| {
        let (path, message) = (error.path().to_string(), error.inner().to_string());
        let missing = message.strip_prefix("missing field `").and_then(|m| m.strip_suffix('`'));
        match missing {
            Some(field) => Problem::invalid(field, "is required"),
            None => Problem::invalid(&path, &format!("must have the right type: {message}")),
        }
    })
}
