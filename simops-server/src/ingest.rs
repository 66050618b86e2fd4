//! The public door for visitors' events: who may come how often, from which pages, and how much at
//! once. Nothing here can fill the memory: bodies are bounded in size, time and number.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::access::Allowance;
use crate::problem::Problem;

/// Bodies that may arrive at once.
const ARRIVING: usize = 256;
/// Batches that may wait for the store at once.
const RECORDING: usize = 64;
/// Who is turned away for want of room comes back after this.
const COME_BACK_AFTER: Duration = Duration::from_secs(1);

/// How the public door is set up.
#[derive(Debug, Clone)]
pub struct IngestOptions {
    /// Whether events are taken.
    pub enabled: bool,
    /// Requests of one address per minute; 0 = any number.
    pub per_minute: u32,
    /// Pages of which origins may read the answer; `*` = all.
    pub origins: Vec<String>,
}

impl Default for IngestOptions {
    fn default() -> Self {
        Self { enabled: true, per_minute: 600, origins: Vec::new() }
    }
}

/// The public door.
#[derive(Debug)]
pub(crate) struct Ingest {
    enabled: bool,
    origins: Vec<String>,
    allowance: Allowance,
    arriving: Semaphore,
    recording: Semaphore,
}

impl Ingest {
    pub(crate) fn new(options: IngestOptions) -> Self {
        Self {
            enabled: options.enabled,
            origins: options.origins,
            allowance: Allowance::per_minute(options.per_minute),
            arriving: Semaphore::new(ARRIVING),
            recording: Semaphore::new(RECORDING),
        }
    }

    /// Whether a request of `client` may go on to be read; it takes the place given.
    pub(crate) fn admit(
        &self,
        client: IpAddr,
        now: Instant,
    ) -> Result<SemaphorePermit<'_>, Problem> {
        if !self.enabled {
            let detail = "KPI event ingest is disabled in this environment";
            return Err(Problem::new(StatusCode::FORBIDDEN, detail));
        }
        self.allowance.take(client, now).map_err(|wait| {
            let detail = "Too many requests from this address; send events in batches";
            Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).retry_after(wait)
        })?;
        self.arriving.try_acquire().map_err(|_| full())
    }

    /// A place to wait for the store.
    pub(crate) fn place(&self) -> Result<SemaphorePermit<'_>, Problem> {
        self.recording.try_acquire().map_err(|_| full())
    }

    /// What allows the page a request comes from to read the answer.
    pub(crate) fn allow_origin(&self, request: &HeaderMap, answer: &mut HeaderMap) {
        if self.origins.is_empty() {
            return;
        }
        answer.append(header::VARY, HeaderValue::from_static("Origin"));
        let Some(origin) = request.get(header::ORIGIN) else { return };
        let known = |known: &String| known == "*" || known.as_bytes() == origin.as_bytes();
        if self.origins.iter().any(known) {
            answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            let readable = HeaderValue::from_static("retry-after");
            answer.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, readable);
        }
    }
}

fn full() -> Problem {
    let detail = "Too many events wait to be recorded; nothing was taken, send them again";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(COME_BACK_AFTER)
}
