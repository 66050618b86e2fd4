//! What every request passes, in one step: name, access, time limit, panics, headers, figures, log.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tokio::time::timeout;
use tracing::{debug, error, info, warn};

use crate::access::{Actor, Client, is_admin, is_write};
use crate::app::App;
use crate::problem::{Cause, Problem};
use crate::request_id::REQUEST_ID;

/// No handler takes longer than this; a reset's world has 8 s.
const WITHIN: Duration = Duration::from_secs(30);
const RESET: &str = "/api/admin/control/run/reset-dev";

const CSP: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; font-src 'self'; form-action 'none'; base-uri 'none'; \
     frame-ancestors 'none'",
);
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const NO_REFERRER: HeaderValue = HeaderValue::from_static("no-referrer");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Everything between a connection and the routes.
pub(crate) async fn edge(
    app: &App,
    routes: &TowerToHyperService<Router>,
    peer: IpAddr,
    mut request: Request,
) -> Response {
    let started = Instant::now();
    let id = app.request_ids.of(request.headers());
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let client = app.access.client_ip(peer, request.headers());
    request.extensions_mut().insert(Client(client));
    let admitted = admit(app, client, &mut request, started);
    let actor = admitted.as_ref().ok().cloned().flatten();
    let mut response = match admitted {
        Ok(_) => guarded(routes, request).await,
        Err(problem) => problem.into_response(),
    };

    decorate(response.headers_mut(), id);
    let took = started.elapsed();
    app.meters.observe(&method, uri.path(), response.status(), took);
    Line { method: &method, uri: &uri, client, actor: actor.as_ref() }.log(&response, took);
    response
}

/// Lets the request in, with its actor if it goes to the admin API.
fn admit(
    app: &App,
    client: IpAddr,
    request: &mut Request,
    now: Instant,
) -> Result<Option<Actor>, Problem> {
    if !is_admin(request.uri().path()) {
        return Ok(None);
    }
    app.access.check(client, request.method(), request.headers(), now)?;
    if is_write(request.method()) && request.uri().path() == RESET {
        app.ops.check_reset_allowed()?;
    }
    let actor = Actor::named_in(request.headers(), client)?;
    request.extensions_mut().insert(actor.clone());
    Ok(Some(actor))
}

/// The route's answer, or a problem when it panics or takes too long.
async fn guarded(routes: &TowerToHyperService<Router>, request: Request) -> Response {
    let answer = AssertUnwindSafe(async { routes.call(request).await.into_response() });
    let mut answer = pin!(answer.catch_unwind());
    // Most answers are there at once, and need no timer.
    let answered = match answer.as_mut().now_or_never() {
        Some(answered) => Ok(answered),
        None => timeout(WITHIN, answer).await,
    };
    match answered {
        Ok(Ok(response)) => response,
        Ok(Err(panic)) => {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
            Problem::internal(format!("a handler panicked: {}", said.unwrap_or("?")))
                .into_response()
        }
        Err(_) => {
            let detail = "No answer within 30 seconds; whether it took effect shows in the status";
            let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
            problem.retry_after(Duration::from_secs(5)).into_response()
        }
    }
}

fn decorate(headers: &mut HeaderMap, id: HeaderValue) {
    headers.insert(header::CONTENT_SECURITY_POLICY, CSP);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    headers.insert(header::REFERRER_POLICY, NO_REFERRER);
    headers.entry(header::CACHE_CONTROL).or_insert(NO_STORE);
    headers.insert(REQUEST_ID, id);
}

/// One line per request. The query is left out, as are all headers but the id: no secret gets here.
struct Line<'a> {
    method: &'a Method,
    uri: &'a Uri,
    client: IpAddr,
    actor: Option<&'a Actor>,
}

impl Line<'_> {
    /// Reads that went well, what visitors send, and the noise of a guesser, are for those who look for them.
    fn log(&self, response: &Response, took: Duration) {
        macro_rules! line {
            ($level:ident) => {
                $level!(
                    method = self.method.as_str(),
                    path = self.uri.path(),
                    status = response.status().as_u16(),
                    ms = (took.as_secs_f64() * 1e6).round() / 1e3,
                    request = request_id(response),
                    client = %self.client,
                    actor = self.actor.map(|actor| &*actor.id),
                    cause = response.extensions().get::<Cause>().map(|cause| &*cause.0),
                    "request"
                )
            };
        }
        match response.status() {
            StatusCode::INTERNAL_SERVER_ERROR => line!(error),
            status if status.is_server_error() => line!(warn),
            StatusCode::TOO_MANY_REQUESTS => line!(debug),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => line!(info),
            _ if self.actor.is_some() && is_write(self.method) => line!(info),
            _ => line!(debug),
        }
    }
}

fn request_id(response: &Response) -> &str {
    let id = response.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok());
    id.unwrap_or_default()
}
