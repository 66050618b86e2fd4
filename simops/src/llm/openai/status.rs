//! What an HTTP status says went wrong, what it has cost, and when to ask again.

use jiff::Timestamp;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use super::wire;
use crate::llm::{LlmError, LlmErrorKind, Spent};
use crate::retry_after::parse_retry_after;

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
    LlmError::new(kind, detail).with_spent(spent).with_retry_after(wait)
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
