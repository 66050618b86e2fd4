//! A name for every request, so that an answer and its log line find each other.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// Where it stands, in requests and answers.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_CHARS: usize = 128;

/// Gives names that no other request of this process has, nor likely one of another process.
#[derive(Debug)]
pub(crate) struct RequestIds {
    process: String,
    next: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new() -> Self {
        let mut process = [0; 6];
        // Without randomness the names are less unique, which hurts nobody.
        let _ = getrandom::fill(&mut process);
        let process = process.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        Self { process, next: AtomicU64::new(1) }
    }

    /// The name the caller gave if it is a plain one, else a new one.
    pub(crate) fn of(&self, headers: &HeaderMap) -> HeaderValue {
        if let Some(given) = headers.get(REQUEST_ID).filter(|given| is_plain(given.as_bytes())) {
            return given.clone();
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut name = String::with_capacity(24);
        let _ = write!(name, "{}-{number:06x}", self.process);
        HeaderValue::try_from(name).unwrap_or_else(|_| HeaderValue::from_static("none"))
    }
}

fn is_plain(name: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte);
    (1..=MAX_CHARS).contains(&name.len()) && name.iter().all(plain)
}
