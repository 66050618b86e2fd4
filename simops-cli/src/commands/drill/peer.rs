//! A provider of models on a free port, which accepts keys or does not.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use crate::exit::Failure;

#[derive(Debug, Clone, Copy)]
pub(super) enum Answers {
    /// An action that every agent can take.
    AnAction,
    /// That it does not know the key.
    UnknownKey,
}

/// A provider; dropping it cuts its connections and gives its port back.
pub(super) struct Peer {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

impl Peer {
    /// One at `address`.
    pub(super) async fn start(address: SocketAddr, answers: Answers) -> Result<Self, Failure> {
        let cannot = |error: std::io::Error| Failure::new(format!("no provider starts: {error}"));
        let listener = TcpListener::bind(address).await.map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let asked = Arc::<AtomicUsize>::default();
        let serving = tokio::spawn(serve(listener, answers, Arc::clone(&asked)));
        Ok(Self { address, asked, serving })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// Ends it; its port refuses connections from now on.
    pub(super) async fn end(self) {
        self.serving.abort();
        // Ends with being aborted, which is no failure.
        let _ = self.serving.await;
    }
}

async fn serve(listener: TcpListener, answers: Answers, asked: Arc<AtomicUsize>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let asked = Arc::clone(&asked);
        let service = service_fn(move |request| answer(request, answers, Arc::clone(&asked)));
        let http = hyper::server::conn::http1::Builder::new();
        // Who hangs up has what it wanted.
        connections.spawn(async move {
            let _ = http.serve_connection(TokioIo::new(socket), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(
    request: Request<Incoming>,
    answers: Answers,
    asked: Arc<AtomicUsize>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    // Read to its end, so that the connection can be used again.
    let _ = request.into_body().collect().await;
    asked.fetch_add(1, Ordering::Relaxed);
    let (status, body) = match answers {
        Answers::AnAction => {
            let action = r#"{"action":"work","resource":"food"}"#;
            let message = json!({ "role": "assistant", "content": action });
            let choice = json!({ "index": 0, "message": message, "finish_reason": "stop" });
            let usage =
                json!({ "prompt_tokens": 900, "completion_tokens": 12, "total_tokens": 912 });
            let model = "drill-model";
            (
                StatusCode::OK,
                json!({ "id": "drill", "model": model, "choices": [choice], "usage": usage }),
            )
        }
        Answers::UnknownKey => {
            let error = json!({ "message": "unknown key", "type": "invalid_request_error" });
            (StatusCode::UNAUTHORIZED, json!({ "error": error }))
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    Ok(response)
}
