//! An operator with a token: JSON in, status and JSON out.

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::Value;

/// An answer of a server.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The content type, empty when there is none.
    pub content_type: String,
    /// The body, null when it is no JSON.
    pub body: Value,
}

impl Answer {
    /// The body of a success.
    ///
    /// # Panics
    /// When it is none; shows the answer.
    pub fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.body
    }
}

/// A client of one server's admin API.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl Client {
    /// A client of the server at `base`.
    ///
    /// # Panics
    /// When the HTTP client cannot be built.
    pub fn new(base: &str, token: &str) -> Self {
        // One TLS provider a process; whoever comes first installs it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(20))
            .build()
            .expect("an HTTP client");
        Self { http, base: base.to_owned(), token: token.to_owned() }
    }

    /// A request to a path below `/api/admin/`, with the token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}/api/admin/{path}", self.base))
            .bearer_auth(&self.token)
            .header("X-Admin-User", "tester")
    }

    /// A request to any path, without the token.
    pub fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    /// Sends a request.
    ///
    /// # Errors
    /// When no answer arrives: the server died, or was never there.
    pub async fn send(&self, request: RequestBuilder) -> reqwest::Result<Answer> {
        let response = request.send().await?;
        let status = response.status().as_u16();
        let content_type = response
            .headers()
            .get("content-type")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let body = response.bytes().await?;
        let body = serde_json::from_slice(&body).unwrap_or_default();
        Ok(Answer { status, content_type, body })
    }

    /// GETs an admin path.
    ///
    /// # Panics
    /// When no answer arrives.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await.expect(path)
    }

    /// POSTs JSON to an admin path.
    ///
    /// # Panics
    /// When no answer arrives.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).json(body)).await.expect(path)
    }

    /// PATCHes settings.
    ///
    /// # Panics
    /// When no answer arrives.
    pub async fn patch(&self, updates: &Value) -> Answer {
        let body = serde_json::json!({ "updates": updates });
        self.send(self.request(Method::PATCH, "config").json(&body)).await.expect("config")
    }
}
