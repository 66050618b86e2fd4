//! Accepts connections until shutdown, then drains them within a bounded time.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tracing::{debug, warn};

use crate::application::Application;

/// Time limit for a request's head, and for an idle connection.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for requests in flight at shutdown.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(3_500);
/// Delay after a failed accept, for example when file handles are exhausted.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Serves `app` until `shutdown` completes. Then it accepts no connection, closes the streams and
/// waits up to 3.5 s for requests in flight.
pub async fn serve(listener: TcpListener, app: Application, shutdown: impl Future<Output = ()>) {
    let connections = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    let http = Arc::new(http);
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let service = service(app.clone(), peer.ip());
                if let Err(error) = stream.set_nodelay(true) {
                    debug!(%error, "connection closed before it was served");
                    continue;
                }
                let connection = http.serve_connection(TokioIo::new(stream), service);
                let connection = connections.watch(connection);
                tokio::spawn(async move {
                    if let Err(error) = connection.await {
                        debug!(%error, "connection failed");
                    }
                });
            }
            Err(error) => {
                warn!(code = "accept_failed", %error, "connection not accepted");
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
    drop(listener);
    app.streams().close();
    if tokio::time::timeout(DRAIN_TIMEOUT, connections.shutdown()).await.is_err() {
        warn!(code = "drain_timeout", "shutdown closed connections with requests in flight");
    }
}

/// The application for one connection.
fn service(
    app: Application,
    peer: IpAddr,
) -> impl Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send> {
    service_fn(move |request| {
        let app = app.clone();
        async move { Ok(app.respond(peer, request).await) }
    })
}
