//! Sending a body to an address outside: resolved once, every address looked at, one of them dialled.
//!
//! No redirect is followed and no proxy asked, each request opens a connection of its own, so that
//! what was looked at is what is spoken to.

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

/// From the look-up to the end of the answer.
const WITHIN: Duration = Duration::from_secs(15);
/// So much of an answer is read; a receiver has nothing to tell.
const MAX_ANSWER: usize = 16 * 1024;

/// Sends bodies to one address.
pub struct Dialer {
    client: Client,
    url: Url,
    guard: Guard,
}

impl Dialer {
    /// A dialer of `url`, which nothing quotes: it may hold a secret.
    ///
    /// # Errors
    /// `Invalid` for what is no `http` or `https` URL with a host, naming `field`; `Unusable` when
    /// the machine has no certificates to trust.
    pub fn new(field: &str, url: &str, guard: Guard) -> Result<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let parsed = Url::parse(url.trim()).ok().filter(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.username().is_empty()
                && url.password().is_none()
        });
        let url = parsed.ok_or_else(|| {
            let message = "is set to something (not shown) that is no URL of the form \
                           https://HOST[:PORT]/PATH, without user and password";
            Error::invalid(field, message)
        })?;
        let builder = Client::builder()
            .user_agent(concat!("simops/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(0)
            .timeout(WITHIN)
            .dns_resolver(Vetted(guard.clone()));
        // A plain URL needs no certificates, and a machine may have none.
        let builder = if url.scheme() == "http" { builder.tls_certs_only([]) } else { builder };
        let client = builder.build().map_err(|error| {
            Error::new(ErrorKind::Unusable, format!("{field}: no HTTP client")).with_source(error)
        })?;
        Ok(Self { client, url, guard })
    }

    /// The host, for the digest of a target.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Sends a JSON body.
    pub async fn send(&self, headers: &[(&'static str, String)], body: Vec<u8>) -> Outcome {
        match timeout(WITHIN, self.exchange(headers, body)).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::NoResponse(format!("no answer within {} s", WITHIN.as_secs())),
        }
    }

    async fn exchange(&self, headers: &[(&'static str, String)], body: Vec<u8>) -> Outcome {
        // Who names an address instead of a host is not asked about by the resolver.
        let host = self.url.host_str().unwrap_or_default();
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        if literal.is_ok_and(|address| !self.guard.allows(host, address)) {
            return Outcome::NoResponse(refusal(host));
        }
        let mut all = HeaderMap::new();
        all.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in headers {
            match HeaderValue::from_str(value) {
                Ok(value) => drop(all.insert(HeaderName::from_static(name), value)),
                Err(_) => return Outcome::NoResponse(format!("{name} cannot be sent")),
            }
        }
        match self.client.post(self.url.clone()).headers(all).body(body).send().await {
            Ok(response) => answered(response).await,
            Err(error) => Outcome::NoResponse(cause(&error)),
        }
    }
}

async fn answered(mut response: Response) -> Outcome {
    let status = response.status();
    let asked = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let asked = asked.and_then(|text| parse_retry_after(text, jiff::Timestamp::now()));
    let mut left = MAX_ANSWER;
    while let Ok(Some(piece)) = response.chunk().await {
        match left.checked_sub(piece.len()) {
            Some(rest) => left = rest,
            None => break,
        }
    }
    if status.is_success() {
        return Outcome::Accepted(Some(status.as_u16()));
    }
    let retry_after = asked.and_then(|wait| SignedDuration::try_from(wait).ok());
    Outcome::Refused { status: status.as_u16(), retry_after }
}

/// The innermost reason, without the URL.
fn cause(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    let mut text =
        if error.is_timeout() { "no answer in time" } else { "no connection" }.to_owned();
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

fn refusal(host: &str) -> String {
    format!(
        "{host} is at an address inside, where no message is sent; allow it with \
         KPI_ALERT_ALLOWED_HOSTS"
    )
}

/// Looks a name up, and gives no address unless all of them may be reached.
struct Vetted(Guard);

impl Resolve for Vetted {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.0.clone();
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found: Vec<_> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            if !found.iter().all(|address| guard.allows(&host, address.ip())) {
                return Err(refusal(&host).into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
