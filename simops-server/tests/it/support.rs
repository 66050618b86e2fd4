//! An application to send requests to.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use serde_json::{Value, json};
use simops::control::{Environment, WriteGate};
use simops::host::{Outcome, Seeded, SimulationHost, Turn, Worker, WorkerOptions};
use simops::ops::{Ops, OpsOptions};
use simops::settings::Registry;
use simops::store::{Documents, RunStore, World};
use simops::testing::MemoryStore;
use simops::{AgentId, Result, SystemClock};
use simops_server::{AccessOptions, Application, IngestOptions, Networks};
use tempfile::TempDir;

pub(crate) const TOKEN: &str = "4f9c1e7a2b8d6053c7e1f4a9";

/// An application on a store of its own.
pub(crate) struct TestApp {
    pub(crate) app: Application,
    pub(crate) store: Arc<dyn RunStore>,
    /// Where it writes baselines and digests.
    pub(crate) output: TempDir,
}

/// How it is set up.
pub(crate) struct Setup {
    pub(crate) access: AccessOptions,
    pub(crate) ingest: IngestOptions,
    pub(crate) ops: OpsOptions,
    pub(crate) store: Arc<dyn RunStore>,
}

impl Setup {
    pub(crate) fn development() -> Self {
        Self {
            access: AccessOptions::with_token(TOKEN),
            ingest: IngestOptions::default(),
            ops: OpsOptions::of(Environment::Development),
            store: Arc::new(MemoryStore::new()),
        }
    }

    /// Production with writes open to `allowlist`.
    pub(crate) fn production(allowlist: &str) -> Self {
        let mut setup = Self::development();
        setup.ops = OpsOptions::of(Environment::Production);
        setup.ops.write_gate = Some(WriteGate::Open);
        setup.access.allowlist = Networks::parse(allowlist).unwrap();
        setup
    }

    pub(crate) fn build(self) -> TestApp {
        let (clock, output) = (Arc::new(SystemClock), tempfile::tempdir().unwrap());
        let options = OpsOptions { output_folder: output.path().to_owned(), ..self.ops };
        let ops = Arc::new(Ops::new(Arc::clone(&self.store), clock, options));
        let app = Application::new(ops, self.access, self.ingest);
        TestApp { app, store: self.store, output }
    }
}

/// A request in the making.
pub(crate) struct Call<'a> {
    app: &'a TestApp,
    method: Method,
    path: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Body,
    peer: IpAddr,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    pub(crate) json: Value,
}

impl TestApp {
    pub(crate) fn new() -> Self {
        Setup::development().build()
    }

    /// A request without credentials, from 127.0.0.1.
    pub(crate) fn bare(&self, method: Method, path: &str) -> Call<'_> {
        let (path, body, peer) = (path.to_owned(), Body::empty(), [127, 0, 0, 1].into());
        Call { app: self, method, path, headers: Vec::new(), body, peer }
    }

    /// A request to the admin API with the right token.
    pub(crate) fn call(&self, method: Method, path: &str) -> Call<'_> {
        let call = self.bare(method, &format!("/api/admin/{path}"));
        call.header("authorization", &format!("Bearer {TOKEN}"))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path).send().await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path).json(&body).send().await
    }

    pub(crate) async fn patch(&self, updates: Value) -> Answer {
        self.call(Method::PATCH, "config").json(&json!({ "updates": updates })).send().await
    }

    /// Has a tiny world follow the run controls, and waits until it is there.
    pub(crate) async fn with_host(self) -> Self {
        let options = WorkerOptions { speed: 10_000.0, ..WorkerOptions::named("tiny") };
        let registry = Arc::new(Registry::builtin());
        let store = Arc::clone(&self.store);
        let worker = Worker::with(store, Arc::new(Tiny), registry, Arc::new(SystemClock), options);
        tokio::spawn(worker.run(std::future::pending()));
        self.until("a host", |status| status["hosts"][0]["state"] == "idle").await;
        self
    }

    /// Waits until the status is as wanted.
    pub(crate) async fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        simops_tests::eventually(what, async || {
            Some(self.get("status").await.json).filter(|status| wanted(status))
        })
        .await
    }

    pub(crate) async fn until_state(&self, state: &str) -> Value {
        self.until(state, |status| status["run_state"] == state).await
    }
}

impl Call<'_> {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.as_bytes().to_vec()));
        self
    }

    pub(crate) fn raw_header(mut self, name: &str, value: &[u8]) -> Self {
        self.headers.push((name.to_owned(), value.to_vec()));
        self
    }

    pub(crate) fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn from(mut self, peer: &str) -> Self {
        self.peer = peer.parse().unwrap();
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    pub(crate) fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    /// The answer, its body unread.
    pub(crate) async fn open(self) -> axum::response::Response {
        let mut request = Request::builder().method(self.method).uri(self.path);
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        self.app.app.respond(self.peer, request.body(self.body).unwrap()).await
    }

    pub(crate) async fn send(self) -> Answer {
        let (parts, body) = self.open().await.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer { status: parts.status, headers: parts.headers, text, json }
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The answer of a success.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        self.json
    }

    /// Checks that it is a problem of `status`; its detail.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16) -> &str {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.json["type"], "about:blank");
        assert_eq!(self.json["status"], status);
        assert!(self.json["title"].as_str().is_some_and(|title| !title.is_empty()));
        assert_eq!(self.json.get("errors").is_some(), status == 422, "{}", self.text);
        self.json["detail"].as_str().unwrap()
    }

    /// Checks that it is a 422 that names `field`.
    #[track_caller]
    pub(crate) fn names(&self, field: &str) {
        self.problem(422);
        assert_eq!(self.json["errors"][0]["field"], field, "{}", self.text);
        assert!(self.json["errors"][0]["message"].as_str().is_some_and(|m| !m.is_empty()));
    }
}

/// A world in which nothing happens.
struct Tiny;

#[simops::async_trait]
impl SimulationHost for Tiny {
    fn name(&self) -> &str {
        "tiny"
    }

    async fn seed(&self) -> Result<Seeded> {
        Ok(Seeded { documents: Documents::new(), result: json!({ "agents": 1 }) })
    }

    fn agents(&self, _: &World) -> Result<Vec<AgentId>> {
        Ok(vec![1.into()])
    }

    fn act(&self, _: &Turn, _: Value) -> Result<Outcome> {
        Ok(Outcome::default())
    }
}
