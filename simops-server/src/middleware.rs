//! The step around every route: request id, client address, access, time limit, panics, metrics
//! and log.

use std::net::{IpAddr, Ipv4Addr};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tokio::time::timeout;
use tracing::{debug, error, info, warn};

use crate::access::{Actor, Client, is_admin, is_write, write_of};
use crate::connections::Connection;
use crate::problem::{Cause, Problem};
use crate::request_id::REQUEST_ID;
use crate::state::App;

/// Time limit of a handler. A reset waits at most 8 s for its world.
const HANDLER_TIMEOUT: Duration = Duration::from_secs(30);
/// The route that requests to unknown paths are counted under.
const UNMATCHED: &str = "unmatched";

/// The address at the other end of the connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Marks the requests of an address that does not serve the admin API.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WithoutAdmin;

/// Authorizes a request, runs its route, counts it and logs it.
pub(crate) async fn handle(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = app.request_ids.of(request.headers());
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let peer = request.extensions().get::<Peer>();
    // A request that came over no connection is trusted with nothing.
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0);
    let client = app.access.client_ip(peer, request.headers());
    request.extensions_mut().insert(Client(client));
    let authorized = authorize(&app, client, route.as_ref(), &mut request, started).await;
    let actor = authorized.as_ref().ok().cloned().flatten();
    let mut response = match authorized {
        Ok(_) => run(next, request).await,
        Err(problem) => problem.into_response(),
    };

    response.headers_mut().insert(REQUEST_ID, id);
    let elapsed = started.elapsed();
    let route = route.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
    app.metrics.observe(route, &method, response.status(), elapsed);
    log(&method, &uri, client, actor.as_ref(), &response, elapsed);
    response
}

/// Checks access to the admin API, and the write gate before a body is read. The actor is `None` for
/// the other paths, which are public.
async fn authorize(
    app: &App,
    client: IpAddr,
    route: Option<&MatchedPath>,
    request: &mut Request,
    now: Instant,
) -> Result<Option<Actor>, Problem> {
    let serves_admin = request.extensions().get::<WithoutAdmin>().is_none();
    if !serves_admin || !is_admin(request.uri().path()) {
        return Ok(None);
    }
    app.access.check(client, request.headers(), now)?;
    if let Some(connection) = request.extensions().get::<Arc<Connection>>() {
        connection.trust();
    }
    if is_write(request.method()) {
        let write = route.and_then(|route| write_of(request.method(), route.as_str()));
        let rules = app.ops.write_rules().await?;
        rules.check_gate(write)?;
        app.access.check_write(rules)?;
        if let Some(write) = write {
            rules.check(write)?;
        }
    }
    let actor = Actor::named_in(request.headers(), client)?;
    request.extensions_mut().insert(actor.clone());
    Ok(Some(actor))
}

/// Runs the route. A panic becomes a 500, a time-out a 503.
async fn run(next: Next, request: Request) -> Response {
    let mut handler = pin!(AssertUnwindSafe(next.run(request)).catch_unwind());
    // Most handlers finish at the first poll and need no timer.
    let finished = match handler.as_mut().now_or_never() {
        Some(finished) => Ok(finished),
        None => timeout(HANDLER_TIMEOUT, handler).await,
    };
    match finished {
        Ok(Ok(response)) => response,
        Ok(Err(panic)) => {
            let message = panic.downcast_ref::<String>().map(String::as_str);
            let message = message.or_else(|| panic.downcast_ref::<&str>().copied());
            Problem::internal(format!("a handler panicked: {}", message.unwrap_or("?")))
                .into_response()
        }
        Err(_) => {
            let detail = "No answer within 30 seconds; whether it took effect shows in the status";
            Problem::unavailable(detail).into_response()
        }
    }
}

/// One log line per request. The query and all headers but the id are left out: they may hold
/// secrets. Successful reads, visitors' events and rate-limited requests are logged at debug level only.
fn log(
    method: &Method,
    uri: &Uri,
    client: IpAddr,
    actor: Option<&Actor>,
    response: &Response,
    elapsed: Duration,
) {
    macro_rules! line {
        ($level:ident $(, $code:ident = $text:literal)?) => {
            $level!(
                $($code = $text,)?
                method = method.as_str(),
                path = uri.path(),
                status = response.status().as_u16(),
                ms = (elapsed.as_secs_f64() * 1e6).round() / 1e3,
                request = request_id(response.headers()),
                %client,
                actor = actor.map(|actor| &*actor.id),
                cause = response.extensions().get::<Cause>().map(|cause| &*cause.0),
                "request"
            )
        };
    }
    match response.status() {
        StatusCode::INTERNAL_SERVER_ERROR => line!(error, code = "request_failed"),
        status if status.is_server_error() => line!(warn, code = "request_unavailable"),
        StatusCode::TOO_MANY_REQUESTS => line!(debug),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => line!(info),
        _ if actor.is_some() && is_write(method) => line!(info),
        _ => line!(debug),
    }
}

fn request_id(headers: &HeaderMap<HeaderValue>) -> &str {
    headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default()
}
