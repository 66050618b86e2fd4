//! OpenAI-compatible chat completions over HTTP: any base URL, streaming or not.
//!
//! One request, no retry, no redirect. What is read is bounded in time and size. The key goes into
//! one header that is marked as sensitive, and out of every text that a provider sends back.

mod body;
mod sse;
mod status;
mod wire;

use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Response, Url, redirect};
use tokio::time::timeout;

use super::{ChatRequest, ChatResponse, LlmError, LlmErrorKind, LlmProvider, ProviderConfig};
use crate::{Error, Result, Secret};
use body::Body;
use wire::Collected;

pub use sse::Sse;

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";
/// Says 422 to `stream_options`, and sends the usage of a stream unasked.
const STRICT: &str = "mistral";

/// How a provider is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenAiOptions {
    /// Whether answers are streamed; they are handed out whole all the same, but a provider that
    /// falls silent half way is noticed sooner.
    pub stream: bool,
    /// Until the connection stands.
    pub connect_timeout: Duration,
    /// From the request to the last byte. The router's own attempt time-out holds too.
    pub timeout: Duration,
    /// Between two pieces of a streamed answer.
    pub idle_timeout: Duration,
    /// Bytes of an answer; more is refused.
    pub max_body: usize,
}

impl Default for OpenAiOptions {
    fn default() -> Self {
        Self {
            stream: false,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(15),
            max_body: 4 * 1024 * 1024,
        }
    }
}

/// A provider that speaks OpenAI's chat completions.
pub struct OpenAi {
    name: String,
    url: Url,
    key: Option<Secret>,
    client: Client,
    options: OpenAiOptions,
}

impl OpenAi {
    /// The provider of `config`. Nothing is sent yet.
    ///
    /// # Errors
    /// `Invalid` when the URL or the key cannot be used; `Unusable` when the machine has no
    /// certificates to trust.
    pub fn new(config: &ProviderConfig, options: OpenAiOptions) -> Result<Self> {
        // Keeps one that the program chose; only simops' own way to TLS is ring.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let url = format!("{}/chat/completions", config.base_url.trim_end_matches('/'));
        let url = Url::parse(&url).map_err(|error| {
            Error::invalid(format!("{}_BASE_URL", config.name.to_uppercase()), error.to_string())
        })?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
        if let Some(key) = &config.key {
            let bearer = HeaderValue::try_from(format!("Bearer {}", key.expose()));
            let mut bearer = bearer.map_err(|_| {
                let field = format!("{}_API_KEY", config.name.to_uppercase());
                Error::invalid(field, "a key consists of visible ASCII characters")
            })?;
            bearer.set_sensitive(true);
            headers.insert(AUTHORIZATION, bearer);
        }
        let builder = Client::builder()
            .default_headers(headers)
            .user_agent(concat!("simops/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .referer(false)
            .connect_timeout(options.connect_timeout);
        // A plain URL needs no certificates, and a machine may have none.
        let builder = if url.scheme() == "http" { builder.tls_certs_only([]) } else { builder };
        let client = builder.build().map_err(|error| {
            Error::new(
                crate::ErrorKind::Unusable,
                format!("{}: no HTTP client: {}", config.name, body::cause(&error)),
            )
        })?;
        Ok(Self { name: config.name.clone(), url, key: config.key.clone(), client, options })
    }

    async fn ask(&self, request: &ChatRequest) -> Result<ChatResponse, LlmError> {
        let stream = self.options.stream;
        let body = wire::request(request, stream, self.name != STRICT);
        let accept = if stream { EVENTS } else { JSON };
        let sending =
            self.client.post(self.url.clone()).header(ACCEPT, accept).body(body).send().await;
        let response = sending.map_err(|error| self.unsent(&error))?;
        let (code, headers) = (response.status(), response.headers().clone());
        let streamed = is_stream(&response);
        let mut body = Body::new(response, self.options);
        if !code.is_success() {
            let text = body.head().await;
            return Err(self.mask(status::error(&self.name, code, &headers, &text)));
        }
        let answer = if streamed {
            self.read_stream(&mut body).await
        } else {
            match body.whole().await {
                Ok(bytes) => wire::answer(&bytes),
                Err(broken) => Err(broken),
            }
        };
        answer.map_err(|error| {
            let detail = format!("{}: {}", self.name, error.detail);
            self.mask(LlmError { detail, ..error })
        })
    }

    async fn read_stream(&self, body: &mut Body) -> Result<ChatResponse, LlmError> {
        let (mut events, mut collected) = (Sse::default(), Collected::default());
        loop {
            match body.piece().await {
                Ok(Some(bytes)) => {
                    for event in events.push(&bytes) {
                        collected.add(&event)?;
                    }
                }
                Ok(None) => {
                    if let Some(event) = events.end() {
                        collected.add(&event)?;
                    }
                    return collected.finish();
                }
                // What came before the break is worth knowing.
                Err(broken) => return collected.broken(broken),
            }
            if collected.is_done() {
                return collected.finish();
            }
        }
    }

    /// The error of a request that got no response.
    fn unsent(&self, error: &reqwest::Error) -> LlmError {
        let cause = body::cause(error);
        let detail = format!("{}: {cause}", self.name);
        self.mask(if error.is_connect() || error.is_builder() {
            let kind = LlmErrorKind::Connection;
            LlmError::unsent(kind, format!("{}: no connection: {cause}", self.name))
        } else if error.is_timeout() {
            LlmError::new(LlmErrorKind::Timeout, detail)
        } else {
            LlmError::new(LlmErrorKind::Connection, detail)
        })
    }

    fn mask(&self, error: LlmError) -> LlmError {
        match &self.key {
            Some(key) => LlmError { detail: key.scrub(&error.detail), ..error },
            None => error,
        }
    }
}

fn is_stream(response: &Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with(EVENTS))
}

#[async_trait]
impl LlmProvider for OpenAi {
    fn name(&self) -> &str {
        &self.name
    }

    async fn chat(&self, request: &ChatRequest) -> Result<ChatResponse, LlmError> {
        let limit = self.options.timeout;
        timeout(limit, self.ask(request)).await.unwrap_or_else(|_| {
            let name = &self.name;
            let detail = format!("{name} did not answer within {:.1} s", limit.as_secs_f64());
            Err(LlmError::new(LlmErrorKind::Timeout, detail))
        })
    }
}
