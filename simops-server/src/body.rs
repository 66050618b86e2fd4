//! Reads a request's body as JSON, bounded in size, time and rate.

mod places;
mod unique_keys;

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::problem::Problem;
pub(crate) use places::{Place, Places};
use unique_keys::UniqueKeys;

/// Maximum size of a body.
pub(crate) const MAX_BYTES: usize = 1024 * 1024;
/// Time limit for reading a body.
const READ_TIMEOUT: Duration = Duration::from_secs(25);
/// How long a body may be slower than the least rate.
const RATE_GRACE: Duration = Duration::from_secs(10);
/// Bytes per second that a body must have after that, on average.
const MIN_RATE: u32 = 256;
/// How much of a refused body is read and discarded.
const MAX_DRAIN_BYTES: usize = 16 * 1024 * 1024;
/// How much memory a body takes at a time.
const STEP_BYTES: usize = 64 * 1024;
/// Refused bodies that are read and discarded at a time. The connections of others are closed: each that is
/// read keeps a buffer.
static DRAINS: Semaphore = Semaphore::const_new(64);
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

/// The size of a body; [`MAX_BYTES`] if it is not known.
pub(crate) fn declared_bytes(body: &Body) -> u64 {
    body.size_hint().exact().unwrap_or(MAX_BYTES as u64)
}

/// Reads the body of a request that was admitted, and returns its place, which counts the body.
/// `arrived` gets the size of each piece. The body of a refused request is drained.
///
/// # Errors
/// Why it was refused; as [`read`].
pub(crate) async fn read_admitted<'p>(
    admitted: Result<Place<'p>, Problem>,
    mut body: Body,
    arrived: impl Fn(usize),
) -> Result<(Place<'p>, Bytes), Problem> {
    let read = match admitted {
        Ok(mut place) => read(&mut body, &mut place, arrived).await.map(|bytes| (place, bytes)),
        Err(problem) => Err(problem),
    };
    if read.is_err() {
        drain(body).await;
    }
    read
}

/// The whole body.
///
/// # Errors
/// 413 over [`MAX_BYTES`], 408 if it takes over 25 s or is slower than 256 bytes per second, 400 if the
/// connection ends early, 503 if too many bytes of other bodies are kept.
async fn read(
    body: &mut Body,
    place: &mut Place<'_>,
    arrived: impl Fn(usize),
) -> Result<Bytes, Problem> {
    check_size(body)?;
    let begun = Instant::now();
    // Frames are copied: a frame of one byte would keep the whole buffer it was read into.
    let mut bytes = Vec::new();
    loop {
        let paid = Duration::from_secs(bytes.len() as u64) / MIN_RATE;
        let deadline = begun + (RATE_GRACE + paid).min(READ_TIMEOUT);
        match timeout_at(deadline, body.frame()).await {
            Ok(Some(Ok(frame))) => {
                let Ok(data) = frame.into_data() else { continue };
                arrived(data.len());
                if bytes.len() + data.len() > MAX_BYTES {
                    return Err(too_large());
                }
                place.grow(data.len())?;
                if bytes.capacity() - bytes.len() < data.len() {
                    // Not twice as much as before, which is not counted.
                    bytes.reserve_exact(data.len().max(STEP_BYTES));
                }
                bytes.extend_from_slice(&data);
            }
            Ok(None) => return Ok(bytes.into()),
            Ok(Some(Err(_))) => {
                let detail = "The body did not arrive whole";
                return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
            }
            Err(_) => {
                let detail = "The body arrived too slowly: at least 256 bytes per second, \
                              within 25 seconds";
                return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, detail));
            }
        }
    }
}

/// Reads and discards the rest of a refused body, within bounds. A client whose connection is
/// closed while it sends would not read the response.
async fn drain(mut body: Body) {
    let Ok(_turn) = DRAINS.try_acquire() else { return };
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

/// Checks the length that a request states.
///
/// # Errors
/// 413 over [`MAX_BYTES`].
pub(crate) fn check_size(body: &Body) -> Result<(), Problem> {
    if body.size_hint().lower() > MAX_BYTES as u64 { Err(too_large()) } else { Ok(()) }
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
            .map(|UniqueKeys(value)| value)
            .map_err(|error| Problem::invalid("body", &format!("must be JSON: {error}")))?
    };
    if !value.is_object() {
        return Err(Problem::invalid("body", "must be a JSON object"));
    }
    serde_path_to_error::deserialize(value).map_err(|error| {
        let (path, message) = (error.path().to_string(), error.inner().to_string());
        let missing = message.strip_prefix("missing field `").and_then(|m| m.strip_suffix('`'));
        let unknown = message.strip_prefix("unknown field `").and_then(|m| m.split_once('`'));
        match (missing, unknown) {
            (Some(field), _) => Problem::invalid(field, "is required"),
            (None, Some((field, known))) => {
                let known = known.trim_start_matches(", ").replace('`', "");
                Problem::invalid(field, &format!("is not a field of this request: {known}"))
            }
            (None, None) => Problem::invalid(&path, &expected(&message)),
        }
    })
}

/// What a value must be, from the message of a parser that names types of Rust.
fn expected(message: &str) -> String {
    let Some((found, expected)) = message.rsplit_once(", expected ") else {
        return format!("cannot be used: {message}");
    };
    let expected = match expected {
        "f64" | "f32" => "a number",
        "i64" | "i32" => "a whole number",
        "u64" | "u32" | "u16" | "u8" | "usize" => "a whole number that is not negative",
        other => other,
    };
    let found = found.trim_start_matches("invalid type: ").trim_start_matches("invalid value: ");
    format!("must be {expected}, not {found}")
}
