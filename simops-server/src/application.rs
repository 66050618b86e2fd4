//! Assembles routes, middleware and state into the application that is served.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::{BoxError, Router};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use simops::ops::Ops;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::access::AccessOptions;
use crate::connections::Connection;
use crate::ingest::IngestOptions;
use crate::middleware::{Peer, handle};
use crate::problem::Problem;
use crate::response::SECURITY_HEADERS;
use crate::routes;
use crate::state::{App, AppState};
use crate::stream::Streams;

/// The admin API, the console and the public routes, ready to be served. A clone shares everything.
#[derive(Clone)]
pub struct Application {
    router: TowerToHyperService<Router>,
    state: App,
    serves_admin: bool,
}

impl Application {
    /// Puts the use cases of `ops` behind HTTP.
    #[must_use]
    pub fn new(ops: Arc<Ops>, access: AccessOptions, ingest: IngestOptions) -> Self {
        let (admin, _) = routes::admin().split_for_parts();
        let router = admin.merge(routes::public(access.metrics));
        Self::with(router, AppState::new(ops, access, ingest))
    }

    /// The application of an address that serves nothing but `/metrics` and `/healthz`, to everybody.
    #[must_use]
    pub fn metrics_only(&self) -> Self {
        let metrics = Self::with(routes::metrics_only(), Arc::clone(&self.state));
        Self { serves_admin: false, ..metrics }
    }

    fn with(router: Router<App>, state: App) -> Self {
        let set = |(name, value)| {
            SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value))
        };
        let [policy, content_type, referrer] = SECURITY_HEADERS.map(set);
        let no_store = HeaderValue::from_static("no-store");
        let router = router
            .fallback(async || Problem::no_such_path())
            .method_not_allowed_fallback(async || {
                let detail = "This path exists, but not with this method; see the Allow header";
                Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
            })
            // The first of these is the outermost.
            .layer((
                (policy, content_type, referrer),
                SetResponseHeaderLayer::if_not_present(header::CACHE_CONTROL, no_store),
                from_fn_with_state(Arc::clone(&state), handle),
            ))
            .with_state(Arc::clone(&state));
        Self { router: TowerToHyperService::new(router), state, serves_admin: true }
    }

    /// Whether `peer` is a trusted proxy: its connections are those of many clients.
    pub(crate) fn is_proxy(&self, peer: IpAddr) -> bool {
        self.state.access.is_proxy(peer)
    }

    /// Responds to a request of `peer`.
    pub async fn respond<B>(&self, peer: IpAddr, request: Request<B>) -> Response
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        self.respond_on(None, peer, request).await
    }

    /// Responds to a request that came over `connection`.
    pub(crate) async fn respond_on<B>(
        &self,
        connection: Option<Arc<Connection>>,
        address: IpAddr,
        request: Request<B>,
    ) -> Response
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let mut request = request.map(Body::new);
        let peer = Peer { address, connection, serves_admin: self.serves_admin };
        request.extensions_mut().insert(peer);
        self.router.call(request).await.into_response()
    }

    /// Logs how many refused requests had no line of their own.
    pub(crate) fn summarise_log(&self) {
        self.state.request_log.summarise();
    }

    /// The open streams. They must be closed before a graceful shutdown can complete.
    pub fn streams(&self) -> &Arc<Streams> {
        &self.state.streams
    }
}
