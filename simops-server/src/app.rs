//! The application: every route, and what they share.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, StatusCode};
use axum::response::Response;
use axum::{BoxError, Router};
use hyper_util::service::TowerToHyperService;
use simops::ops::Ops;

use crate::access::{Access, AccessOptions};
use crate::assets::Assets;
use crate::edge::edge;
use crate::fresh::Fresh;
use crate::ingest::{Ingest, IngestOptions};
use crate::meters::Meters;
use crate::patterns::Patterns;
use crate::problem::Problem;
use crate::request_id::RequestIds;
use crate::snapshot::Snapshots;
use crate::stream::Streams;
use crate::{openapi, routes};

/// Whether the store answers is asked at most so often.
const READY_FOR: Duration = Duration::from_millis(250);

/// What routes share.
pub(crate) type App = Arc<Shared>;

pub(crate) struct Shared {
    pub(crate) ops: Arc<Ops>,
    pub(crate) access: Access,
    pub(crate) ingest: Ingest,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) streams: Arc<Streams>,
    pub(crate) ready: Fresh<()>,
    pub(crate) meters: Meters,
    pub(crate) assets: Assets,
    pub(crate) openapi: Bytes,
    pub(crate) request_ids: RequestIds,
}

/// The application, to be served. A clone shares everything.
#[derive(Clone)]
pub struct Application {
    routes: TowerToHyperService<Router>,
    shared: App,
}

impl Application {
    /// The answer to a request that came on a connection from `peer`.
    pub async fn answer<B>(&self, peer: IpAddr, request: Request<B>) -> Response
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        edge(&self.shared, &self.routes, peer, request.map(Body::new)).await
    }

    /// The open streams, to be closed before the server can end.
    pub fn streams(&self) -> &Arc<Streams> {
        &self.shared.streams
    }
}

/// The application on `ops`.
///
/// # Errors
/// When the description of the API cannot be written: a defect.
pub fn app(
    ops: Arc<Ops>,
    access: AccessOptions,
    ingest: IngestOptions,
) -> simops::Result<Application> {
    let options = ops.options();
    let allowlisted = !access.allowlist.is_empty();
    let access = Access::new(access, options.environment, options.write_enabled);
    let snapshots = Arc::new(Snapshots::new(&ops, allowlisted));
    let streams = Streams::new(Arc::clone(&ops), Arc::clone(&snapshots));
    let (admin, description) = routes::admin().split_for_parts();
    let shared = Arc::new(Shared {
        ops,
        access,
        ingest: Ingest::new(ingest),
        snapshots,
        streams: Arc::new(streams),
        ready: Fresh::new(READY_FOR),
        meters: Meters::new(Patterns::of(&description)),
        assets: Assets::new(),
        openapi: openapi::finish(&description)?,
        request_ids: RequestIds::new(),
    });
    let router = admin
        .merge(routes::public())
        .fallback(async || Problem::no_such_path())
        .method_not_allowed_fallback(async || {
            let detail = "This path exists, but not with this method; see the Allow header";
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
        })
        .with_state(Arc::clone(&shared));
    Ok(Application { routes: TowerToHyperService::new(router), shared })
}
