//! Admission of visitors' events: rate limit per address, allowed origins, and bounds on
//! concurrent requests, so that public traffic cannot exhaust memory.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::access::{RateLimiter, Token};
use crate::problem::Problem;

/// The header of the write key.
const WRITE_KEY: HeaderName = HeaderName::from_static("x-write-key");
/// Batches recorded at once.
const MAX_RECORDING: usize = 64;
/// `Retry-After` of a request refused for lack of permits.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Options of the ingest of visitors' events.
#[derive(Debug, Clone)]
pub struct IngestOptions {
    /// Whether events are accepted.
    pub enabled: bool,
    /// Requests per minute and address; 0 means no limit.
    pub per_minute: u32,
    /// Origins whose pages may send events and read the response, besides the server's own; `*` means
    /// all.
    pub origins: Vec<String>,
    /// The key that every request must carry, if there is one.
    pub write_key: Option<Token>,
}

impl Default for IngestOptions {
    fn default() -> Self {
        Self { enabled: true, per_minute: 600, origins: Vec::new(), write_key: None }
    }
}

/// Admits requests with visitors' events.
#[derive(Debug)]
pub(crate) struct Ingest {
    options: IngestOptions,
    limiter: RateLimiter,
    recording: Semaphore,
}

impl Ingest {
    pub(crate) fn new(options: IngestOptions) -> Self {
        Self {
            limiter: RateLimiter::per_minute(options.per_minute),
            options,
            recording: Semaphore::new(MAX_RECORDING),
        }
    }

    /// Admits a request of `client`.
    ///
    /// # Errors
    /// 403 if ingest is disabled, 429 over the rate limit.
    pub(crate) fn admit(&self, client: IpAddr, now: Instant) -> Result<(), Problem> {
        if !self.options.enabled {
            let detail = "KPI event ingest is disabled in this environment";
            return Err(Problem::new(StatusCode::FORBIDDEN, detail));
        }
        self.limiter.try_acquire(client, now).map_err(|wait| {
            let detail = "Too many requests from this address; send events in batches";
            Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).retry_after(wait)
        })
    }

    /// A permit to record a batch.
    ///
    /// # Errors
    /// 503 if too many batches wait for the store.
    pub(crate) fn recording_permit(&self) -> Result<SemaphorePermit<'_>, Problem> {
        self.recording.try_acquire().map_err(|_| overloaded())
    }

    /// Checks the page that a request comes from, and the write key. Requests of programs name no
    /// page.
    ///
    /// # Errors
    /// 403 for a page of an origin that is neither the server's own nor listed, 401 for a missing or
    /// wrong key.
    pub(crate) fn authorize(&self, headers: &HeaderMap, uri: &Uri) -> Result<(), Problem> {
        if let Some(origin) = headers.get(header::ORIGIN)
            && !self.lists(origin)
            && !is_own(origin, headers)
        {
            let detail = "Pages of this origin may not send events; see KPI_EVENT_CORS_ORIGINS";
            return Err(Problem::new(StatusCode::FORBIDDEN, detail));
        }
        let Some(key) = &self.options.write_key else { return Ok(()) };
        if presented_key(headers, uri).is_some_and(|presented| key.is(presented.as_bytes())) {
            return Ok(());
        }
        Err(Problem::new(StatusCode::UNAUTHORIZED, "Invalid write key"))
    }

    /// Adds the CORS headers that let a page of a listed origin read the response. Beacons are
    /// credentialed requests, so their preflight must allow that.
    pub(crate) fn allow_origin(&self, request: &HeaderMap, response: &mut HeaderMap) {
        if self.options.origins.is_empty() {
            return;
        }
        response.append(header::VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = request.get(header::ORIGIN).filter(|origin| self.lists(origin)) {
            let mut set = |name, value| response.insert(name, value);
            set(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            set(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            set(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("retry-after"));
        }
    }

    fn lists(&self, origin: &HeaderValue) -> bool {
        let same = |known: &String| origin.as_bytes().eq_ignore_ascii_case(known.as_bytes());
        self.options.origins.iter().any(|known| known == "*" || same(known))
    }
}

/// Whether a page of `origin` comes from the host that the request is sent to.
fn is_own(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
    let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    authority.zip(host).is_some_and(|((_, own), host)| own.as_bytes().eq_ignore_ascii_case(host))
}

/// The key in the header `X-Write-Key`, or in the query as `key`.
fn presented_key<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<Cow<'a, str>> {
    match headers.get(WRITE_KEY) {
        Some(key) => key.to_str().ok().map(Cow::Borrowed),
        None => form_urlencoded::parse(uri.query()?.as_bytes())
            .find_map(|(name, value)| (name == "key").then_some(value)),
    }
}

fn overloaded() -> Problem {
    let detail = "Too many events wait to be recorded; nothing was taken, send them again";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(RETRY_AFTER)
}
