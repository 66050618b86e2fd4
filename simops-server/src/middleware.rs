//! The step around every route: request id, client address, access, time limit, panics, metrics
//! and log.

use std::net::{IpAddr, Ipv4Addr};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tokio::time::timeout;

use crate::access::{Actor, Client, is_admin, is_write, write_of};
use crate::connections::Connection;
use crate::problem::Problem;
use crate::request_id::REQUEST_ID;
use crate::request_log::Line;
use crate::state::App;

/// Time limit of a handler. A reset waits at most 8 s for its world.
const HANDLER_TIMEOUT: Duration = Duration::from_secs(30);
/// The route that requests to unknown paths are counted under.
const UNMATCHED: &str = "unmatched";

/// Where a request came from.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// The address at the other end of the connection.
    pub(crate) address: IpAddr,
    /// `None` for a request that came over no connection.
    pub(crate) connection: Option<Arc<Connection>>,
    /// Whether the address that it was sent to serves the admin API.
    pub(crate) serves_admin: bool,
}

/// Authorizes a request, runs its route, counts it and logs it.
pub(crate) async fn handle(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = app.request_ids.of(request.headers());
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let peer = request.extensions_mut().remove::<Peer>();
    // A request of unknown origin is trusted with nothing.
    let peer = peer.unwrap_or(Peer {
        address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        connection: None,
        serves_admin: false,
    });
    let client = app.access.client_ip(peer.address, request.headers());
    request.extensions_mut().insert(Client(client));
    let mut actor = None;
    let authorized = authorize(&app, &peer, client, route.as_ref(), &mut request, &mut actor).await;
    let mut response = match authorized {
        Ok(()) => run(next, request).await,
        Err(problem) => problem.into_response(),
    };

    response.headers_mut().insert(REQUEST_ID, id);
    let elapsed = started.elapsed();
    let route = route.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
    app.metrics.observe(route, &method, response.status(), elapsed);
    let actor = actor.as_ref();
    let line = Line { method: &method, uri: &uri, client, actor, response: &response, elapsed };
    app.request_log.write(&line);
    response
}

/// Checks access to the admin API, and the write gate before a body is read. Sets the actor of a
/// request with a valid token. The other paths are public.
async fn authorize(
    app: &App,
    peer: &Peer,
    client: IpAddr,
    route: Option<&MatchedPath>,
    request: &mut Request,
    actor: &mut Option<Actor>,
) -> Result<(), Problem> {
    if request.headers().get_all(header::HOST).iter().nth(1).is_some() {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "There must be one Host header"));
    }
    if !peer.serves_admin || !is_admin(request.uri().path()) {
        return Ok(());
    }
    app.access.check(client, request.headers(), Instant::now()).await?;
    if let Some(connection) = &peer.connection {
        connection.trust();
    }
    let named = Actor::named_in(request.headers(), client);
    *actor = named.as_ref().ok().cloned();
    if is_write(request.method()) {
        let write = route.and_then(|route| write_of(request.method(), route.as_str()));
        let rules = app.ops.write_rules().await?;
        rules.check_gate(write)?;
        app.access.check_write(rules)?;
        if let Some(write) = write {
            rules.check(write)?;
        }
    }
    request.extensions_mut().insert(named?);
    Ok(())
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
