//! Single requests to a server, with and without credentials.

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Method, StatusCode, Url};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;

use super::server::{base, client, headers};
use crate::exit::Failure;
use crate::globals::OnServer;

const TIMEOUT: Duration = Duration::from_secs(10);
/// The most that is read of a response to a raw request.
const MAX_RAW_BYTES: usize = 4 << 20;

type RawClient = hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// A server under examination.
pub(crate) struct Probe {
    anonymous: Client,
    operator: Client,
    raw: RawClient,
    authorization: HeaderValue,
    base: Url,
}

pub(crate) struct Seen {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) json: Value,
}

impl Seen {
    /// The sentence of a problem, or the status.
    pub(crate) fn summary(&self) -> String {
        let detail = self.json.get("detail").and_then(Value::as_str);
        let status = self.status.as_u16();
        detail.map_or(status.to_string(), |detail| format!("{status} {detail}"))
    }
}

impl Probe {
    /// The server that the user names, asked with and without `token`.
    pub(crate) fn new(on: OnServer<'_>, token: &str) -> Result<Self, Failure> {
        let base = base(on.url)?;
        let headers = headers(Some(token), "check")?;
        let authorization = headers.get(AUTHORIZATION).cloned();
        Ok(Self {
            anonymous: client(&base, HeaderMap::new())?,
            operator: client(&base, headers)?,
            raw: raw_client(&base)?,
            authorization: authorization.unwrap_or_else(|| HeaderValue::from_static("")),
            base,
        })
    }

    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// A request without credentials.
    pub(crate) async fn stranger(&self, path: &str, token: Option<&str>) -> Result<Seen, Failure> {
        let mut request = self.anonymous.get(self.at(path));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        seen(request).await
    }

    /// A request of the operator.
    pub(crate) async fn get(&self, path: &str) -> Result<Seen, Failure> {
        seen(self.operator.get(self.at(path))).await
    }

    /// The same, claiming to come from another address.
    pub(crate) async fn get_as_from(&self, path: &str, from: &str) -> Result<Seen, Failure> {
        seen(self.operator.get(self.at(path)).header("x-forwarded-for", from)).await
    }

    /// A write that cannot do anything: its body is no JSON. A gate that is closed refuses it before
    /// its body is looked at.
    pub(crate) async fn harmless(&self, method: Method, path: &str) -> Result<Seen, Failure> {
        let json = HeaderValue::from_static("application/json");
        let request = self.operator.request(method, self.at(path));
        seen(request.header(CONTENT_TYPE, json).body("{")).await
    }

    /// A read without credentials whose path is sent as it is written: dot segments, empty segments and
    /// all.
    pub(crate) async fn stranger_raw(&self, path: &str) -> Result<Seen, Failure> {
        self.raw(Method::GET, path, None).await
    }

    /// As [`Probe::harmless`], with a path that is sent as it is written.
    pub(crate) async fn harmless_raw(&self, path: &str) -> Result<Seen, Failure> {
        self.raw(Method::POST, path, Some(&self.authorization)).await
    }

    async fn raw(
        &self,
        method: Method,
        path: &str,
        authorization: Option<&HeaderValue>,
    ) -> Result<Seen, Failure> {
        let cannot =
            |error: String| Failure::new(format!("the server does not answer {path}: {error}"));
        let below = self.base.path().trim_end_matches('/');
        let origin = self.base.origin().ascii_serialization();
        let mut request =
            hyper::Request::builder().method(method.clone()).uri(format!("{origin}{below}{path}"));
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let body = if method == Method::GET { "" } else { "{" };
        let request = request
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(body))
            .map_err(|error| cannot(error.to_string()))?;
        let answered = async {
            let response = self.raw.request(request).await.map_err(|error| error.to_string())?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, MAX_RAW_BYTES).collect().await;
            let body = body.map_err(|error| error.to_string())?.to_bytes();
            let json = serde_json::from_slice(&body).unwrap_or_default();
            Ok(Seen { status: head.status, headers: head.headers, json })
        };
        match tokio::time::timeout(TIMEOUT, answered).await {
            Ok(answered) => answered.map_err(cannot),
            Err(_) => Err(cannot(format!("no response within {} s", TIMEOUT.as_secs()))),
        }
    }

    fn at(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        let below = url.path().trim_end_matches('/').to_owned();
        let (path, query) = path.split_once('?').map_or((path, None), |(p, q)| (p, Some(q)));
        url.set_path(&format!("{below}{path}"));
        url.set_query(query);
        url
    }
}

/// A client that sends paths as they are written. The machine's certificates are read only for https.
fn raw_client(base: &Url) -> Result<RawClient, Failure> {
    let builder = HttpsConnectorBuilder::new();
    let builder = if base.scheme() == "https" {
        let built = builder.try_with_platform_verifier();
        built.map_err(|error| Failure::new(format!("connections cannot be made: {error}")))?
    } else {
        let config = ClientConfig::builder().with_root_certificates(RootCertStore::empty());
        builder.with_tls_config(config.with_no_client_auth())
    };
    let connector = builder.https_or_http().enable_http1().build();
    Ok(hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(connector))
}

async fn seen(request: reqwest::RequestBuilder) -> Result<Seen, Failure> {
    let cannot =
        |error: reqwest::Error| Failure::new(format!("the server does not answer: {error}"));
    let response = request.timeout(TIMEOUT).send().await.map_err(cannot)?;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.bytes().await.map_err(cannot)?;
    let json = serde_json::from_slice(&body).unwrap_or_default();
    Ok(Seen { status, headers, json })
}
