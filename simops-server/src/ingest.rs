//! Admission of visitors' events: limits of requests, events and bytes, allowed origins, and bounds
//! on concurrent requests, so that public traffic exhausts neither memory nor the disk.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use simops::ops::Ops;
use tokio::sync::{Semaphore, SemaphorePermit};
use tracing::warn;

use crate::access::{RateLimiter, Token, subject};
use crate::problem::Problem;

/// Where visitors' events are posted.
pub(crate) const KPI_EVENTS: &str = "/api/analytics/kpi/events";
/// The header of the write key.
const WRITE_KEY: HeaderName = HeaderName::from_static("x-write-key");
/// Batches recorded at once.
const MAX_RECORDING: usize = 64;
/// How often it is logged that the disk has no room.
const LOG_INTERVAL: Duration = Duration::from_secs(60);
/// `Retry-After` of a request refused for lack of permits.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Options of the ingest of visitors' events.
#[derive(Debug, Clone)]
pub struct IngestOptions {
    /// Whether events are accepted.
    pub enabled: bool,
    /// How much is accepted per minute.
    pub limits: IngestLimits,
    /// Origins whose pages may send events and read the response, besides the server's own; `*` means
    /// all.
    pub origins: Vec<String>,
    /// The key that every request must carry, if there is one.
    pub write_key: Option<Token>,
}

impl Default for IngestOptions {
    fn default() -> Self {
        let limits = IngestLimits::default();
        Self { enabled: true, limits, origins: Vec::new(), write_key: None }
    }
}

/// How much is accepted per minute, also as one burst; 0 means no limit. A page sends tens of small
/// events; a server that passes on the events of a site sends batches of 1,000.
#[derive(Debug, Clone)]
pub struct IngestLimits {
    /// Requests per address, or per /64 of v6.
    pub requests: u64,
    /// Events per address.
    pub events: u64,
    /// Bytes of bodies per address.
    pub bytes: u64,
    /// Events of all addresses.
    pub total_events: u64,
    /// Bytes of bodies of all addresses.
    pub total_bytes: u64,
}

impl Default for IngestLimits {
    fn default() -> Self {
        Self {
            requests: 600,
            events: 60_000,
            bytes: 32 << 20,
            total_events: 600_000,
            total_bytes: 256 << 20,
        }
    }
}

/// The state of [`IngestLimits`].
#[derive(Debug)]
struct Limiters {
    requests: RateLimiter<IpAddr>,
    events: RateLimiter<IpAddr>,
    bytes: RateLimiter<IpAddr>,
    total_events: RateLimiter<()>,
    total_bytes: RateLimiter<()>,
}

impl Limiters {
    fn new(limits: &IngestLimits) -> Self {
        Self {
            requests: RateLimiter::per_minute(limits.requests),
            events: RateLimiter::per_minute(limits.events),
            bytes: RateLimiter::per_minute(limits.bytes),
            total_events: RateLimiter::per_minute(limits.total_events),
            total_bytes: RateLimiter::per_minute(limits.total_bytes),
        }
    }

    /// Takes a request of `address` with a body of `bytes`, if all limits allow it. Its bytes and
    /// events are taken when they are here.
    fn admit(&self, address: IpAddr, bytes: u64, now: Instant) -> Result<(), Problem> {
        let refuse = |detail: &'static str| {
            move |wait| Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).retry_after(wait)
        };
        let total = self.total_bytes.check((), bytes, now);
        let total = total.and_then(|()| self.total_events.check((), 1, now));
        total.map_err(refuse("Too many events from all addresses; send them later"))?;
        let data = self.bytes.check(address, bytes, now);
        data.map_err(refuse("Too many bytes from this address; send smaller events, or later"))?;
        let events = self.events.check(address, 1, now);
        events.map_err(refuse("Too many events from this address; send them later"))?;
        let requests = self.requests.try_acquire(address, now);
        requests.map_err(refuse("Too many requests from this address; send events in batches"))
    }
}

/// A client that sends events. Its bytes and events count as they become known.
pub(crate) struct Sender<'a> {
    ingest: &'a Ingest,
    address: IpAddr,
}

impl Sender<'_> {
    /// Admits a request with a body of `bytes`.
    ///
    /// # Errors
    /// 403 if ingest is disabled, 429 over a limit.
    pub(crate) fn admit(&self, bytes: u64, now: Instant) -> Result<(), Problem> {
        if !self.ingest.options.enabled {
            let detail = "KPI event ingest is disabled in this environment";
            return Err(Problem::new(StatusCode::FORBIDDEN, detail));
        }
        self.ingest.limiters.admit(self.address, bytes, now)
    }

    /// Counts bytes of the body that have arrived.
    pub(crate) fn count_bytes(&self, bytes: usize) {
        let (limiters, bytes, now) = (&self.ingest.limiters, bytes as u64, Instant::now());
        limiters.bytes.take(self.address, bytes, now);
        limiters.total_bytes.take((), bytes, now);
    }

    /// Counts the events of the body.
    pub(crate) fn count_events(&self, events: usize) {
        let (limiters, events, now) = (&self.ingest.limiters, events as u64, Instant::now());
        limiters.events.take(self.address, events, now);
        limiters.total_events.take((), events, now);
    }
}

/// Admits requests with visitors' events.
#[derive(Debug)]
pub(crate) struct Ingest {
    options: IngestOptions,
    limiters: Limiters,
    recording: Semaphore,
    recording_bytes: AtomicU64,
    disk_logged: Mutex<Option<Instant>>,
}

/// A batch that is being recorded.
pub(crate) struct Recording<'a> {
    all: &'a AtomicU64,
    bytes: u64,
    _permit: SemaphorePermit<'a>,
}

impl Drop for Recording<'_> {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Ingest {
    pub(crate) fn new(options: IngestOptions) -> Self {
        Self {
            limiters: Limiters::new(&options.limits),
            options,
            recording: Semaphore::new(MAX_RECORDING),
            recording_bytes: AtomicU64::new(0),
            disk_logged: Mutex::default(),
        }
    }

    /// A client whose events count against its limits.
    pub(crate) fn sender(&self, client: IpAddr) -> Sender<'_> {
        Sender { ingest: self, address: subject(client) }
    }

    /// A permit to record a batch of `bytes`.
    ///
    /// # Errors
    /// 503 if too many batches wait for the store, or the disk has no room for what is being recorded.
    pub(crate) fn record(&self, ops: &Ops, bytes: usize) -> Result<Recording<'_>, Problem> {
        let _permit = self.recording.try_acquire().map_err(|_| overloaded())?;
        let (all, bytes) = (&self.recording_bytes, bytes as u64);
        let before = all.fetch_add(bytes, Ordering::Relaxed);
        let recording = Recording { all, bytes, _permit };
        self.check_room(ops, before + bytes)?;
        Ok(recording)
    }

    /// Checks that the disk has room for requests of `bytes`. Says so in the log once a minute while
    /// it has none.
    ///
    /// # Errors
    /// 503 if it has not.
    pub(crate) fn check_room(&self, ops: &Ops, bytes: u64) -> Result<(), Problem> {
        let Err(error) = ops.check_room_for_visits(bytes) else { return Ok(()) };
        let mut logged = self.disk_logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.is_none_or(|logged| logged.elapsed() >= LOG_INTERVAL) {
            warn!(code = "disk_reserve_reached", %error, "visitors' events refused");
            *logged = Some(Instant::now());
        }
        let wait = error.retry_after().unwrap_or(RETRY_AFTER);
        let detail = error.detail().to_owned();
        Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(wait))
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
        None => url::form_urlencoded::parse(uri.query()?.as_bytes())
            .find_map(|(name, value)| (name == "key").then_some(value)),
    }
}

fn overloaded() -> Problem {
    let detail = "Too many events wait to be recorded; nothing was taken, send them again";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(RETRY_AFTER)
}
