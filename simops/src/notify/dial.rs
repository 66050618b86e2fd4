//! Sends requests to receivers, guarded against server-side request forgery: the host is resolved
//! once, all of its addresses are checked, and the request connects to one of them.
//!
//! Redirects and proxies are not followed and connections are not reused, so a request can only reach
//! a checked address.

use std::error::Error as _;
use std::net::IpAddr;
use std::time::Duration;

use jiff::SignedDuration;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, Url, redirect};
use tokio::time::timeout;

use super::Guard;
use crate::alert::Outcome;
use crate::retry_after::parse_retry_after;
use crate::{Error, ErrorKind, Result};

/// Limit from the DNS look-up to the end of the response.
const TIMEOUT: Duration = Duration::from_secs(15);
/// The most bytes of a response that are read; its content is not used.
const MAX_RESPONSE: usize = 16 * 1024;

/// Sends requests to one URL.
pub struct Dialer {
    client: Client,
    url: Url,
    guard: Guard,
}

impl Dialer {
    /// A dialer of `url`. No message contains the URL, because it may hold a secret.
    ///
    /// # Errors
    /// `Invalid` for `field` if `url` is not an `http` or `https` URL with a host; `Unusable` if the
    /// machine has no trusted certificates.
    pub fn new(field: &str, url: &str, guard: Guard) -> Result<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let parsed = Url::parse(url.trim()).ok().filter(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.username().is_empty()
                && url.password().is_none()
        });
        let url = parsed.ok_or_else(|| {
            let message = "is set to something (not shown) that is not a URL of the form \
                           https://HOST[:PORT]/PATH, without user and password";
            Error::invalid(field, message)
        })?;
        let builder = Client::builder()
            .user_agent(concat!("simops/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(0)
            .timeout(TIMEOUT)
            .dns_resolver(GuardedResolver(guard.clone()));
        // A plain URL needs no certificates, and a machine may have none.
        let builder = if url.scheme() == "http" { builder.tls_certs_only([]) } else { builder };
        let client = builder.build().map_err(|error| {
            Error::new(ErrorKind::Unusable, format!("{field}: no HTTP client")).with_source(error)
        })?;
        Ok(Self { client, url, guard })
    }

    /// The URL; it may hold a secret.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Sends a JSON body and returns the outcome after at most 15 s.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection; the receiver may have accepted the request.
    pub async fn send(&self, headers: &[(&'static str, String)], body: Vec<u8>) -> Outcome {
        match timeout(TIMEOUT, self.exchange(headers, body)).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::NoResponse(format!("no response within {} s", TIMEOUT.as_secs())),
        }
    }

    async fn exchange(&self, headers: &[(&'static str, String)], body: Vec<u8>) -> Outcome {
        // The resolver is not called for a URL with an IP address, so check that here.
        let host = self.url.host_str().unwrap_or_default();
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        if literal.is_ok_and(|address| !self.guard.allows(host, address)) {
            return Outcome::NoResponse(refusal(host));
        }
        let mut header_map = HeaderMap::new();
        header_map.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in headers {
            match HeaderValue::from_str(value) {
                Ok(value) => drop(header_map.insert(HeaderName::from_static(name), value)),
                Err(_) => {
                    return Outcome::NoResponse(format!("the header {name} has an invalid value"));
                }
            }
        }
        match self.client.post(self.url.clone()).headers(header_map).body(body).send().await {
            Ok(response) => outcome_of(response).await,
            Err(error) => Outcome::NoResponse(cause(&error)),
        }
    }
}

async fn outcome_of(mut response: Response) -> Outcome {
    let status = response.status();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = retry_after.and_then(|text| parse_retry_after(text, jiff::Timestamp::now()));
    let mut remaining = MAX_RESPONSE;
    while let Ok(Some(chunk)) = response.chunk().await {
        match remaining.checked_sub(chunk.len()) {
            Some(rest) => remaining = rest,
            None => break,
        }
    }
    if status.is_success() {
        return Outcome::Accepted(Some(status.as_u16()));
    }
    let retry_after = retry_after.and_then(|wait| SignedDuration::try_from(wait).ok());
    Outcome::Refused { status: status.as_u16(), retry_after }
}

/// The innermost cause of an error, without the URL.
fn cause(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    let mut text =
        if error.is_timeout() { "no response in time" } else { "no connection" }.to_owned();
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

fn refusal(host: &str) -> String {
    format!(
        "{host} has an internal address, to which no message is sent; allow it with \
         KPI_ALERT_ALLOWED_HOSTS"
    )
}

/// Resolves a host, and fails unless the guard allows all of its addresses.
struct GuardedResolver(Guard);

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.0.clone();
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let addresses: Vec<_> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            if !addresses.iter().all(|address| guard.allows(&host, address.ip())) {
                return Err(refusal(&host).into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
