//! Reads a request's body as JSON, bounded in size and time.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use simops::ops::Caller;
use simops::store::IdempotencyKey;

use crate::access::Actor;
use crate::problem::Problem;

/// Maximum size of a body.
pub(crate) const MAX_BYTES: usize = 1024 * 1024;
/// Time limit for reading a body.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of a refused body is read and discarded.
const MAX_DRAIN_BYTES: usize = 16 * 1024 * 1024;
/// How long a refused body is read and discarded.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const MAX_KEY_CHARS: usize = 255;

/// A write request: its actor and idempotency key, and its body.
pub(crate) struct WriteRequest<T> {
    pub(crate) caller: Caller,
    pub(crate) body: T,
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for WriteRequest<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let actor = Actor::from_request_parts(&mut parts, state).await?;
        let key = idempotency_key(&parts.headers)?;
        if let Err(problem) = check_type(&parts.headers, &body) {
            drain(body).await;
            return Err(problem);
        }
        let bytes = read(body).await?;
        let idempotency = key.map(|key| IdempotencyKey {
            key,
            fingerprint: fingerprint(parts.method.as_str(), parts.uri.path(), &bytes),
        });
        let caller = Caller { actor: actor.id.into_owned(), reason: None, idempotency };
        Ok(Self { caller, body: parse(&bytes)? })
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let key = std::str::from_utf8(value.as_bytes()).ok();
    let key = key.filter(|key| (1..=MAX_KEY_CHARS).contains(&key.len()));
    match key.filter(|key| key.bytes().all(|byte| byte.is_ascii_graphic())) {
        Some(key) => Ok(Some(key.to_owned())),
        None => Err(Problem::invalid(
            "Idempotency-Key",
            "must be 1 to 255 visible ASCII characters, without spaces",
        )),
    }
}

/// A body that is not empty must have a JSON content type.
fn check_type(headers: &HeaderMap, body: &Body) -> Result<(), Problem> {
    if body.is_end_stream() || body.size_hint().exact() == Some(0) {
        return Ok(());
    }
    let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = text.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    let is_json = essence == "application/json"
        || essence.strip_prefix("application/").is_some_and(|rest| rest.ends_with("+json"));
    if is_json {
        return Ok(());
    }
    let detail = "The body must be JSON, with Content-Type: application/json";
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
}

/// The whole body.
///
/// # Errors
/// 413 over [`MAX_BYTES`], 408 if it takes over 10 s, 400 if the connection ends early.
pub(crate) async fn read(mut body: Body) -> Result<Bytes, Problem> {
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
pub(crate) async fn drain(mut body: Body) {
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
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
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

/// A hash of the request, which an idempotency key must repeat with.
fn fingerprint(method: &str, path: &str, body: &[u8]) -> String {
    let mut digest = Sha256::new();
    for part in [method.as_bytes(), b"\n", path.as_bytes(), b"\n", body] {
        digest.update(part);
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
