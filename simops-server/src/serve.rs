//! Connections: accepted until a signal, then drained within a bounded time.

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

use crate::app::Application;

/// A request's head must be there within this; an idle connection is closed after it.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// Requests under way get so long once the server is to end.
const DRAIN_WITHIN: Duration = Duration::from_millis(3_500);
/// Pause after the system has refused a connection, for example for want of file handles.
const AFTER_REFUSAL: Duration = Duration::from_millis(100);

/// Answers requests until `shutdown` completes; then takes no new ones, ends the streams, and
/// waits a while for the answers under way.
pub async fn serve(listener: TcpListener, app: Application, shutdown: impl Future<Output = ()>) {
    let connections = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN);
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
                    debug!(%error, "a connection was gone before it was served");
                    continue;
                }
                let connection = http.serve_connection(TokioIo::new(stream), service);
                let connection = connections.watch(connection);
                tokio::spawn(async move {
                    if let Err(error) = connection.await {
                        debug!(%error, "a connection broke");
                    }
                });
            }
            Err(error) => {
                warn!(%error, "a connection was refused");
                tokio::time::sleep(AFTER_REFUSAL).await;
            }
        }
    }
    drop(listener);
    app.streams().close();
    if tokio::time::timeout(DRAIN_WITHIN, connections.shutdown()).await.is_err() {
        warn!("some requests were not answered in time");
    }
}

/// The application, told who the peer is.
fn service(
    app: Application,
    peer: IpAddr,
) -> impl Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send> {
    service_fn(move |request| {
        let app = app.clone();
        async move { Ok(app.answer(peer, request).await) }
    })
}
