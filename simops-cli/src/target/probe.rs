//! Single requests to a server, with and without credentials.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Client, Method, StatusCode, Url};
use serde_json::Value;

use super::server::{base, client, headers};
use crate::exit::Failure;
use crate::globals::OnServer;

const TIMEOUT: Duration = Duration::from_secs(10);

/// A server under examination.
pub(crate) struct Probe {
    anonymous: Client,
    operator: Client,
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
        Ok(Self {
            anonymous: client(&base, HeaderMap::new())?,
            operator: client(&base, headers(Some(token), "check")?)?,
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
        seen(request.header(reqwest::header::CONTENT_TYPE, json).body("{")).await
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

async fn seen(request: reqwest::RequestBuilder) -> Result<Seen, Failure> {
    let cannot =
        |error: reqwest::Error| Failure::new(format!("the server does not answer: {error}"));
    let response = request.timeout(TIMEOUT).send().await.map_err(cannot)?;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.bytes().await.map_err(cannot)?;
    let json = serde_json::from_slice(&body).unwrap_or_default();
    Ok(Seen { status, headers, json })
}
