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
use socket2::SockRef;
use tokio::net::TcpListener;
use tokio_io_timeout::TimeoutStream;
use tracing::{debug, warn};

use crate::application::Application;
use crate::connections::{Connection, Connections, Limits, Watched};

/// Time limit for a request's head, and for an idle connection.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may read nothing of its response.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// What the system keeps of responses that a client does not read. By itself it would take megabytes.
const SEND_BUFFER_BYTES: usize = 128 << 10;
/// Buffer of a connection, and so the longest head of a request.
const MAX_BUFFER_BYTES: usize = 64 << 10;
/// Time for requests in flight at shutdown.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(3_500);
/// Delay after a failed accept, for example when file handles are exhausted.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Serves `app` until `shutdown` completes. Then it accepts no connection, closes the streams and
/// waits up to 3.5 s for requests in flight.
pub async fn serve(listener: TcpListener, app: Application, shutdown: impl Future<Output = ()>) {
    let draining = GracefulShutdown::new();
    let connections = Connections::new(Limits::of_process());
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_BUFFER_BYTES);
    let http = Arc::new(http);
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let buffer = SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER_BYTES);
                if let Err(error) = stream.set_nodelay(true).and(buffer) {
                    debug!(%error, "connection closed before it was served");
                    continue;
                }
                let Some(open) = connections.open(peer.ip(), app.is_proxy(peer.ip())) else {
                    debug!(%peer, "connection closed: too many are open");
                    continue;
                };
                let connection = open.shared();
                let mut stream = TimeoutStream::new(Watched::new(stream, Arc::clone(&connection)));
                stream.set_write_timeout(Some(WRITE_TIMEOUT));
                let service = service(app.clone(), peer.ip(), connection);
                let connection = http.serve_connection(TokioIo::new(Box::pin(stream)), service);
                let connection = draining.watch(connection);
                tokio::spawn(async move {
                    match open.run(connection).await {
                        Some(Ok(())) => {}
                        Some(Err(error)) => debug!(%error, "connection failed"),
                        None => debug!(%peer, "connection closed: it made room"),
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
    if tokio::time::timeout(DRAIN_TIMEOUT, draining.shutdown()).await.is_err() {
        warn!(code = "drain_timeout", "shutdown closed connections with requests in flight");
    }
    app.summarise_log();
}

/// The application for one connection.
fn service(
    app: Application,
    peer: IpAddr,
    connection: Arc<Connection>,
) -> impl Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send> {
    service_fn(move |request: Request<Incoming>| {
        let (app, connection) = (app.clone(), Arc::clone(&connection));
        async move {
            let response = app.respond_on(Some(Arc::clone(&connection)), peer, request).await;
            connection.answered();
            Ok(response)
        }
    })
}
