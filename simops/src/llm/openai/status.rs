//! What an HTTP status says went wrong, what it has cost, and when to ask again.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use super::wire;
use crate::llm::{LlmError, LlmErrorKind, Spent};

/// Longer than that is taken for that.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// The error of a response that is no success.
///
/// A status is the provider's word that there is no answer, and those are not billed; but behind
/// a gateway that lost patience (504, 524) a model may have run.
pub(super) fn error(name: &str, code: StatusCode, headers: &HeaderMap, body: &[u8]) -> LlmError {
    let kind = kind(code.as_u16());
    let detail = match wire::error_message(body).filter(|_| kind != LlmErrorKind::Auth) {
        Some(message) => format!("{name}: HTTP {}: {message}", code.as_u16()),
        // What is said of a wrong key may spell it.
        None => format!("{name}: HTTP {}", code.as_u16()),
    };
    let spent = if matches!(code.as_u16(), 504 | 524) { Spent::Unknown } else { Spent::Nothing };
    let header = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let wait = header.and_then(|text| parse_retry_after(text, Timestamp::now()));
    LlmError::new(kind, detail).spending(spent).retry_after(wait)
}

/// What a status, or the code of an error inside an answer, says went wrong.
pub(super) fn kind(code: u16) -> LlmErrorKind {
    match code {
        429 => LlmErrorKind::RateLimited,
        401 | 403 => LlmErrorKind::Auth,
        402 => LlmErrorKind::PaymentRequired,
        408 | 425 | 500.. => LlmErrorKind::ServerError,
        // Redirects are not followed: the key would go along.
        ..=399 => LlmErrorKind::InvalidResponse,
        _ => LlmErrorKind::BadRequest,
    }
}

/// How long a `Retry-After` asks to wait, at most a day: seconds (a fraction, as Groq sends, rounds
/// up to the millisecond) or an HTTP date. `None` for what is neither.
pub fn parse_retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        let seconds: f64 = text.parse().ok()?;
        let seconds = seconds.min(LONGEST_WAIT.as_secs_f64());
        return Duration::try_from_secs_f64((seconds * 1e3).ceil() / 1e3).ok();
    }
    let at = rfc2822::parse(text).ok()?.timestamp();
    let wait = Duration::try_from(at.duration_since(now)).unwrap_or_default();
    Some(wait.min(LONGEST_WAIT))
}
