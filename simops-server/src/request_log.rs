//! The log of requests: those of operators in full, refused ones of strangers in a bounded number of
//! lines.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{Method, StatusCode, Uri};
use axum::response::Response;
use tracing::{debug, error, info, warn};

use crate::access::{Actor, is_write};
use crate::problem::Cause;
use crate::request_id::REQUEST_ID;

/// How often refused requests are summarised.
const PERIOD: Duration = Duration::from_secs(60);
/// Lines about refused requests of one status in a period.
const MAX_LINES: u64 = 5;
/// Addresses that a summary names.
const MAX_ADDRESSES: usize = 5;
/// Bytes of a path in a line.
const MAX_PATH_BYTES: usize = 256;

/// A request and its response, as the log shows them. The query and all headers but the id are left
/// out: they may hold secrets.
pub(crate) struct Line<'r> {
    pub(crate) method: &'r Method,
    pub(crate) uri: &'r Uri,
    pub(crate) client: IpAddr,
    /// Who sent it; `None` without a valid token.
    pub(crate) actor: Option<&'r Actor>,
    pub(crate) response: &'r Response,
    pub(crate) elapsed: Duration,
}

/// Counts refused requests of strangers by status.
#[derive(Debug, Default)]
pub(crate) struct RequestLog(Mutex<BTreeMap<StatusCode, Refused>>);

#[derive(Debug, Default)]
struct Refused {
    lines: u64,
    /// Requests without a line.
    more: u64,
    /// Addresses of these, the first few.
    addresses: Vec<IpAddr>,
}

impl RequestLog {
    /// Writes a line, or counts the request for the summary. Successful reads and visitors' events are
    /// logged at debug level only.
    pub(crate) fn write(self: &Arc<Self>, line: &Line<'_>) {
        let status = line.response.status();
        let is_refused = status.is_client_error() || status.is_server_error();
        if line.actor.is_none() && is_refused && !self.admits(status, line.client) {
            return;
        }
        line.write(is_refused);
    }

    /// Whether a stranger's refused request gets a line of its own.
    fn admits(self: &Arc<Self>, status: StatusCode, client: IpAddr) -> bool {
        let mut refused = self.refused();
        if refused.is_empty() {
            let this = Arc::clone(self);
            tokio::spawn(async move {
                tokio::time::sleep(PERIOD).await;
                this.summarise();
            });
        }
        let of_status = refused.entry(status).or_default();
        if of_status.lines < MAX_LINES {
            of_status.lines += 1;
            return true;
        }
        of_status.more += 1;
        if of_status.addresses.len() < MAX_ADDRESSES && !of_status.addresses.contains(&client) {
            of_status.addresses.push(client);
        }
        false
    }

    /// Logs how many requests had no line, and begins a new period.
    pub(crate) fn summarise(&self) {
        let refused = std::mem::take(&mut *self.refused());
        for (status, Refused { more, addresses, .. }) in refused {
            if more > 0 {
                let status = status.as_u16();
                warn!(
                    code = "requests_refused",
                    status,
                    requests = more,
                    clients = ?addresses,
                    "more requests without a valid token were refused"
                );
            }
        }
    }

    fn refused(&self) -> MutexGuard<'_, BTreeMap<StatusCode, Refused>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line<'_> {
    fn write(&self, is_refused: bool) {
        macro_rules! line {
            ($level:ident $(, $code:ident = $text:literal)?) => {
                $level!(
                    $($code = $text,)?
                    method = cut(self.method.as_str()),
                    path = cut(self.uri.path()),
                    status = self.response.status().as_u16(),
                    ms = (self.elapsed.as_secs_f64() * 1e6).round() / 1e3,
                    request = self.request_id(),
                    client = %self.client,
                    actor = self.actor.map(|actor| &*actor.id),
                    cause = self.response.extensions().get::<Cause>().map(|cause| &*cause.0),
                    "request"
                )
            };
        }
        match self.response.status() {
            StatusCode::INTERNAL_SERVER_ERROR => line!(error, code = "request_failed"),
            status if status.is_server_error() => line!(warn, code = "request_unavailable"),
            _ if self.actor.is_some() && is_write(self.method) => line!(info),
            _ if self.actor.is_none() && is_refused => line!(info),
            _ => line!(debug),
        }
    }

    fn request_id(&self) -> &str {
        let id = self.response.headers().get(REQUEST_ID);
        id.and_then(|id| id.to_str().ok()).unwrap_or_default()
    }
}

/// The first bytes of what a client sent; the log escapes them.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(MAX_PATH_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn strangers_get_a_few_lines_of_each_status_per_minute() {
        let log = Arc::<RequestLog>::default();
        let client = |last: u8| IpAddr::from([192, 0, 2, last]);
        let lines = |status| {
            let admitted = (0..100).filter(|n| log.admits(status, client(*n)));
            u64::try_from(admitted.count()).unwrap()
        };
        assert_eq!(lines(StatusCode::UNAUTHORIZED), MAX_LINES);
        assert_eq!(lines(StatusCode::NOT_FOUND), MAX_LINES);
        let more = log.refused()[&StatusCode::UNAUTHORIZED].more;
        assert_eq!(more, 100 - MAX_LINES);
        assert_eq!(log.refused()[&StatusCode::NOT_FOUND].addresses.len(), MAX_ADDRESSES);
        tokio::time::sleep(PERIOD + Duration::from_secs(1)).await;
        assert!(log.refused().is_empty());
        assert_eq!(lines(StatusCode::UNAUTHORIZED), MAX_LINES);
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(cut("/a"), "/a");
        assert_eq!(cut(&"ä".repeat(1_000)), "ä".repeat(128));
        assert_eq!(cut(&format!("/{}", "ä".repeat(1_000))).len(), 255);
    }
}
