//! Maps an HTTP error status to the kind of failure, its cost, and the time to wait.

use jiff::Timestamp;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde_json::Value;

use crate::llm::{LlmError, LlmErrorKind, Spent};
use crate::retry_after::parse_retry_after;

/// The longest text of a provider that is sanitize, in characters.
const MAX_TEXT_CHARS: usize = 200;

/// The error of a response whose status is not a success.
///
/// Providers do not charge for such responses; but after a gateway time-out (504, 524) a model may
/// have run.
pub(super) fn error(name: &str, code: StatusCode, headers: &HeaderMap, body: &[u8]) -> LlmError {
    let kind = kind(code.as_u16());
    let detail = match error_message(body).filter(|_| kind != LlmErrorKind::Auth) {
        Some(message) => format!("{name}: HTTP {}: {message}", code.as_u16()),
        // The message about a wrong key may contain the key.
        None => format!("{name}: HTTP {}", code.as_u16()),
    };
    let spent = if matches!(code.as_u16(), 504 | 524) { Spent::Unknown } else { Spent::Nothing };
    let header = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let wait = header.and_then(|text| parse_retry_after(text, Timestamp::now()));
    LlmError::new(kind, detail).with_spent(spent).with_retry_after(wait)
}

/// The kind of failure of an HTTP status, or of an error code inside a response.
pub(super) fn kind(code: u16) -> LlmErrorKind {
    match code {
        429 => LlmErrorKind::RateLimited,
        401 | 403 => LlmErrorKind::Auth,
        402 => LlmErrorKind::PaymentRequired,
        408 | 425 | 500.. => LlmErrorKind::ServerError,
        // Redirects are not followed, because they would send the key to another host.
        ..=399 => LlmErrorKind::InvalidResponse,
        _ => LlmErrorKind::BadRequest,
    }
}

/// What the body of an error says, cut short and without control characters.
pub(super) fn error_message(body: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(body).ok()?;
    // Gemini wraps its error in a list.
    let value = value.get(0).unwrap_or(&value);
    let error = value.get("error").unwrap_or(value);
    let message = error.get("message").unwrap_or(error);
    let text = message.as_str().map_or_else(|| message.to_string(), str::to_owned);
    Some(sanitize(&text)).filter(|text| !text.is_empty())
}

pub(super) fn sanitize(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_TEXT_CHARS).collect()
}
