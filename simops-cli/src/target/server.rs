//! A server as the target: its admin API over HTTP.
//!
//! A write carries an idempotency key and is sent again with it when the server could not be reached or
//! asks for a retry, so that it happens once however often it is sent.

use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};
use serde::Deserialize;
use serde_json::Value;
use simops::{FieldError, Secret};
use uuid::Uuid;

use super::route::Route;
use crate::exit::Failure;
use crate::globals::OnServer;
use crate::print;
use crate::progress::while_at;

/// The time for a request with all its retries.
const TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Pauses before the second, third and fourth attempt.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(200), Duration::from_millis(600), Duration::from_millis(1_500)];
/// A server may ask for a longer pause, up to this.
const MAX_PAUSE: Duration = Duration::from_secs(10);
const ACTOR: HeaderName = HeaderName::from_static("x-admin-user");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

pub(crate) struct Server {
    client: Client,
    base: Url,
    has_token: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    title: Option<String>,
    detail: Option<String>,
    errors: Vec<FieldError>,
}

/// Why an attempt failed. With a pause it may be repeated after that: nothing happened, or what happened
/// is recorded under the key.
type FailedAttempt = (Failure, Option<Duration>);

impl Server {
    /// The server that the user names, with the user's token and name.
    pub(crate) fn new(on: OnServer<'_>) -> Result<Self, Failure> {
        let base = base(on.url)?;
        let token = on.token()?;
        let headers = headers(token.as_ref().map(Secret::expose), &on.globals.actor()?)?;
        Ok(Self { client: client(&base, headers)?, base, has_token: token.is_some() })
    }

    /// The response to a request.
    pub(crate) async fn ask(&self, route: Route) -> Result<Value, Failure> {
        match &route.refused {
            Some(why) => Err(Failure::new(why.as_str())),
            None => while_at("asking the server", self.send(&route)).await,
        }
    }

    async fn send(&self, route: &Route) -> Result<Value, Failure> {
        let key = Uuid::now_v7().to_string();
        let deadline = Instant::now() + TIMEOUT;
        let mut pauses = PAUSES.into_iter();
        loop {
            let (failure, wished) = match self.once(route, &key, deadline).await {
                Ok(answer) => return Ok(answer),
                Err((failure, Some(wished))) if route.is_write() => (failure, wished),
                Err((failure, _)) => return Err(failure),
            };
            let pause = pauses.next().map(|pause| pause.max(wished));
            let pause =
                pause.filter(|pause| *pause <= MAX_PAUSE && Instant::now() + *pause < deadline);
            let Some(pause) = pause else { return Err(failure) };
            if pauses.len() + 1 == PAUSES.len() {
                print::note(&format!("{failure}; trying again"));
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn once(
        &self,
        route: &Route,
        key: &str,
        deadline: Instant,
    ) -> Result<Value, FailedAttempt> {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut request = self.client.request(route.method.clone(), self.address(route));
        if route.is_write() {
            request = request.header(IDEMPOTENCY_KEY, key);
        }
        if let Some(body) = &route.body {
            request = request.json(body);
        }
        let unanswered = |error| self.unanswered(&error, route);
        let response = request.timeout(left).send().await.map_err(unanswered)?;
        let (status, wished) = (response.status(), asked_for(&response));
        let body = response.bytes().await.map_err(unanswered)?;
        if !status.is_success() {
            return Err((self.refused(status, &body), wished));
        }
        serde_json::from_slice(&body).map_err(|_| {
            let what =
                format!("the response of {} is not JSON: is it a simops server?", self.name());
            (Failure::new(what), None)
        })
    }

    fn address(&self, route: &Route) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["api", "admin"]).extend(&route.path);
        }
        if !route.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&route.query);
        }
        url
    }

    /// No answer arrived.
    fn unanswered(&self, error: &reqwest::Error, route: &Route) -> FailedAttempt {
        let name = self.name();
        if error.is_timeout() && !error.is_connect() {
            let unknown = "; it is unknown whether it was done: see `simops-cli run status`";
            let unknown = if route.is_write() { unknown } else { "" };
            let what = format!("{name} did not answer within {} s{unknown}", TIMEOUT.as_secs());
            return (Failure::new(what), None);
        }
        let failed = if error.is_connect() { "cannot be reached" } else { "broke off" };
        (Failure::new(format!("{name} {failed}: {}", cause(error))), Some(Duration::ZERO))
    }

    /// The server refused.
    fn refused(&self, status: StatusCode, body: &[u8]) -> Failure {
        let problem: Problem = serde_json::from_slice(body).unwrap_or_default();
        let detail = problem.detail.or(problem.title).unwrap_or_else(|| {
            let hint =
                if status.is_redirection() { "; use the address it redirects to" } else { "" };
            format!("{} answered {status}{hint}", self.name())
        });
        let detail = match status {
            StatusCode::UNAUTHORIZED if !self.has_token => {
                format!("{detail} (no token given: set ADMIN_API_TOKEN, or use --token-file)")
            }
            _ => detail,
        };
        let failure = match status {
            StatusCode::UNPROCESSABLE_ENTITY => Failure::usage(detail),
            _ => Failure::new(detail),
        };
        failure.with_fields(problem.errors)
    }

    fn name(&self) -> String {
        self.base.origin().ascii_serialization()
    }
}

/// The wait that an unavailable server asks for.
fn asked_for(response: &Response) -> Option<Duration> {
    let asks = response.status() == StatusCode::SERVICE_UNAVAILABLE;
    let wait = response.headers().get(RETRY_AFTER).filter(|_| asks)?;
    Some(Duration::from_secs(wait.to_str().ok()?.trim().parse().ok()?))
}

/// The address of a server, or of its console: what follows `/ops` is the browser's. A refused address
/// is not quoted: it may hold a password.
pub(super) fn base(url: &str) -> Result<Url, Failure> {
    let refused = || {
        Failure::usage(
            "--url (SIMOPS_URL) must be http://HOST[:PORT] or https://HOST[:PORT], with or without \
             /ops, and without user, query or fragment",
        )
    };
    let mut url = Url::parse(url.trim()).map_err(|_| refused())?;
    let below = url.path().trim_end_matches('/').strip_suffix("/ops").map(str::to_owned);
    if let Some(below) = below {
        url.set_path(&below);
        url.set_query(None);
        url.set_fragment(None);
    }
    let is_plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if is_plain { Ok(url) } else { Err(refused()) }
}

pub(super) fn headers(token: Option<&str>, actor: &str) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    if let Some(token) = token {
        let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| {
            Failure::usage(
                "the admin token (ADMIN_API_TOKEN) has characters that no header can carry",
            )
        })?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    let actor = HeaderValue::from_bytes(actor.as_bytes())
        .map_err(|_| Failure::usage("--actor has characters that no header can carry"))?;
    headers.insert(ACTOR, actor);
    Ok(headers)
}

pub(super) fn client(base: &Url, headers: HeaderMap) -> Result<Client, Failure> {
    // An error means that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder()
        .user_agent(concat!("simops-cli/", env!("CARGO_PKG_VERSION")))
        .default_headers(headers)
        .redirect(Policy::none())
        .connect_timeout(CONNECT_TIMEOUT);
    // The machine's certificates are read only where they are needed: it may have none.
    let builder = match base.scheme() {
        "https" => builder.https_only(true),
        _ => builder.tls_certs_only([]),
    };
    builder
        .build()
        .map_err(|error| Failure::new(format!("connections cannot be made: {}", cause(&error))))
}

/// The innermost reason, which is the most specific one.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
