//! Admission of visitors' events: rate limit per address, allowed origins, and bounds on
//! concurrent requests, so that public traffic cannot exhaust memory.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::access::RateLimiter;
use crate::problem::Problem;

/// Bodies read at once.
const MAX_READING: usize = 256;
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
    /// Origins whose pages may read the response; `*` means all.
    pub origins: Vec<String>,
}

impl Default for IngestOptions {
    fn default() -> Self {
        Self { enabled: true, per_minute: 600, origins: Vec::new() }
    }
}

/// Admits requests with visitors' events.
#[derive(Debug)]
pub(crate) struct Ingest {
    enabled: bool,
    origins: Vec<String>,
    limiter: RateLimiter,
    reading: Semaphore,
    recording: Semaphore,
}

impl Ingest {
    pub(crate) fn new(options: IngestOptions) -> Self {
        Self {
            enabled: options.enabled,
            origins: options.origins,
            limiter: RateLimiter::per_minute(options.per_minute),
            reading: Semaphore::new(MAX_READING),
            recording: Semaphore::new(MAX_RECORDING),
        }
    }

    /// Admits a request of `client`. The permit is held while its body is read.
    ///
    /// # Errors
    /// 403 if ingest is disabled, 429 over the rate limit, 503 if too many bodies are being read.
    pub(crate) fn admit(
        &self,
        client: IpAddr,
        now: Instant,
    ) -> Result<SemaphorePermit<'_>, Problem> {
        if !self.enabled {
            let detail = "KPI event ingest is disabled in this environment";
            return Err(Problem::new(StatusCode::FORBIDDEN, detail));
        }
        self.limiter.try_acquire(client, now).map_err(|wait| {
            let detail = "Too many requests from this address; send events in batches";
            Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).retry_after(wait)
        })?;
        self.reading.try_acquire().map_err(|_| overloaded())
    }

    /// A permit to record a batch.
    ///
    /// # Errors
    /// 503 if too many batches wait for the store.
    pub(crate) fn recording_permit(&self) -> Result<SemaphorePermit<'_>, Problem> {
        self.recording.try_acquire().map_err(|_| overloaded())
    }

    /// Adds the CORS headers that let a page of an allowed origin read the response.
    pub(crate) fn allow_origin(&self, request: &HeaderMap, response: &mut HeaderMap) {
        if self.origins.is_empty() {
            return;
        }
        response.append(header::VARY, HeaderValue::from_static("Origin"));
        let Some(origin) = request.get(header::ORIGIN) else { return };
        let known = |known: &String| known == "*" || known.as_bytes() == origin.as_bytes();
        if self.origins.iter().any(known) {
            response.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            let readable = HeaderValue::from_static("retry-after");
            response.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, readable);
        }
    }
}

fn overloaded() -> Problem {
    let detail = "Too many events wait to be recorded; nothing was taken, send them again";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(RETRY_AFTER)
}
