//! OpenAI-compatible chat completions over HTTP: any base URL, streaming or not.
//!
//! A call sends one request: no retries, no redirects. Responses are limited in time and size. The key
//! is sent in one header that is marked as sensitive, and masked in every text that the provider
//! returns.

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
use wire::ResponseBuilder;

pub(super) use sse::Sse;

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";
/// A provider that refuses `stream_options` with 422 and always reports the usage of a stream.
const NO_STREAM_OPTIONS: &str = "mistral";

/// Time-outs and limits of a provider's HTTP client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenAiOptions {
    /// Whether to stream responses. Callers get whole responses either way, but a stalled provider
    /// is detected sooner.
    pub stream: bool,
    /// Limit for establishing a connection.
    pub connect_timeout: Duration,
    /// Limit from the request to the last byte. The router's attempt time-out applies as well.
    pub timeout: Duration,
    /// Limit between two chunks of a response.
    pub idle_timeout: Duration,
    /// The most bytes of a response; a longer one is an error.
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

/// A provider with an OpenAI-compatible chat completions API.
pub struct OpenAi {
    name: String,
    url: Url,
    key: Option<Secret>,
    client: Client,
    options: OpenAiOptions,
}

impl OpenAi {
    /// Creates the client. Sends nothing.
    ///
    /// # Errors
    /// `Invalid` if the URL or the key is malformed; `Unusable` if the machine has no trusted
    /// certificates.
    pub fn new(config: &ProviderConfig, options: OpenAiOptions) -> Result<Self> {
        // Fails if the program has already chosen a TLS provider, which is then used.
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

    async fn send(&self, request: &ChatRequest) -> Result<ChatResponse, LlmError> {
        let stream = self.options.stream;
        let body = wire::request(request, stream, self.name != NO_STREAM_OPTIONS);
        let accept = if stream { EVENTS } else { JSON };
        let sent =
            self.client.post(self.url.clone()).header(ACCEPT, accept).body(body).send().await;
        let response = sent.map_err(|error| self.send_error(&error))?;
        let (code, headers) = (response.status(), response.headers().clone());
        let streamed = is_stream(&response);
        let mut body = Body::new(response, self.options);
        if !code.is_success() {
            let text = body.read_error().await;
            return Err(self.mask(status::error(&self.name, code, &headers, &text)));
        }
        let result = if streamed {
            self.read_stream(&mut body).await
        } else {
            match body.read_all().await {
                Ok(bytes) => wire::response(&bytes),
                Err(error) => Err(error),
            }
        };
        result.map_err(|error| {
            let detail = format!("{}: {}", self.name, error.detail);
            self.mask(LlmError { detail, ..error })
        })
    }

    async fn read_stream(&self, body: &mut Body) -> Result<ChatResponse, LlmError> {
        let (mut events, mut builder) = (Sse::default(), ResponseBuilder::default());
        loop {
            match body.next_chunk().await {
                Ok(Some(bytes)) => {
                    for event in events.push(&bytes) {
                        builder.add(&event)?;
                    }
                }
                Ok(None) => {
                    if let Some(event) = events.finish() {
                        builder.add(&event)?;
                    }
                    return builder.finish();
                }
                // The response may be complete, or its usage known.
                Err(error) => return builder.finish_after(error),
            }
            if builder.is_complete() {
                return builder.finish();
            }
        }
    }

    /// The error of a request without a response.
    fn send_error(&self, error: &reqwest::Error) -> LlmError {
        let cause = body::cause(error);
        self.mask(if error.is_connect() || error.is_builder() {
            let detail = format!("{}: no connection: {cause}", self.name);
            LlmError::unsent(LlmErrorKind::Connection, detail)
        } else {
            let timed_out = error.is_timeout();
            let kind = if timed_out { LlmErrorKind::Timeout } else { LlmErrorKind::Connection };
            LlmError::new(kind, format!("{}: {cause}", self.name))
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
        timeout(limit, self.send(request)).await.unwrap_or_else(|_| {
            let name = &self.name;
            let detail = format!("{name} did not respond within {:.1} s", limit.as_secs_f64());
            Err(LlmError::new(LlmErrorKind::Timeout, detail))
        })
    }
}
