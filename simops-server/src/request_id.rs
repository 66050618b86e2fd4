//! A name for every request, so that an answer and its log line find each other.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// Where it stands, in requests and answers.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_CHARS: usize = 128;

const HEX: &[u8; 16] = b"0123456789abcdef";
/// Digits of a name: some of the process, then those of the request's number.
const DIGITS: usize = 24;
const NUMBER: usize = 12;

/// Gives names that no other request of this process has, nor likely one of another process.
#[derive(Debug)]
pub(crate) struct RequestIds {
    process: Box<[u8; DIGITS]>,
    next: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new() -> Self {
        let mut process = Box::new([0; DIGITS]);
        // Without randomness the names are less unique, which hurts nobody.
        let _ = getrandom::fill(&mut *process);
        for digit in process.iter_mut() {
            *digit = HEX[usize::from(*digit & 15)];
        }
        Self { process, next: AtomicU64::new(1) }
    }

    /// The name the caller gave if it is a plain one, else a new one.
    pub(crate) fn of(&self, headers: &HeaderMap) -> HeaderValue {
        if let Some(given) = headers.get(REQUEST_ID).filter(|given| is_plain(given.as_bytes())) {
            return given.clone();
        }
        let mut name = *self.process;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        for (place, digit) in name.iter_mut().rev().take(NUMBER).enumerate() {
            *digit = HEX[(number >> (4 * place)) as usize & 15];
        }
        HeaderValue::from_bytes(&name).unwrap_or_else(|_| HeaderValue::from_static("none"))
    }
}

fn is_plain(name: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte);
    (1..=MAX_CHARS).contains(&name.len()) && name.iter().all(plain)
}
