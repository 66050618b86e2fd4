//! The state that handlers and middleware share.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Bytes;
use simops::ops::Ops;

use crate::access::{Access, AccessOptions};
use crate::assets::Assets;
use crate::body::Places;
use crate::ingest::{Ingest, IngestOptions};
use crate::metrics::HttpMetrics;
use crate::problem::Problem;
use crate::request_id::RequestIds;
use crate::request_log::RequestLog;
use crate::single_flight::SingleFlight;
use crate::snapshot::Snapshots;
use crate::stream::Streams;

/// How long one check of the store, which writes, answers `/readyz`.
const READY_TTL: Duration = Duration::from_secs(1);
/// Bodies that are read at once, of operators and of visitors.
const BODIES: usize = 128;
const VISITORS_BODIES: usize = 512;

/// A shared handle, as handlers extract it.
pub(crate) type App = Arc<AppState>;

pub(crate) struct AppState {
    pub(crate) ops: Arc<Ops>,
    pub(crate) access: Access,
    pub(crate) ingest: Ingest,
    /// Places for the bodies of requests with a valid token.
    pub(crate) bodies: Places,
    /// Those of pause, stop and degrade.
    pub(crate) stop_bodies: Places,
    /// Places for bodies with visitors' events.
    pub(crate) visitors_bodies: Places,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) streams: Arc<Streams>,
    /// Whether the store can be written. A failure is kept as long as a success.
    pub(crate) ready: SingleFlight<Result<(), Problem>>,
    pub(crate) metrics: HttpMetrics,
    pub(crate) assets: Assets,
    /// The API's description as JSON, once it was asked for.
    pub(crate) openapi: OnceLock<Bytes>,
    pub(crate) request_ids: RequestIds,
    pub(crate) request_log: Arc<RequestLog>,
}

impl AppState {
    pub(crate) fn new(ops: Arc<Ops>, access: AccessOptions, ingest: IngestOptions) -> App {
        let snapshots = Arc::new(Snapshots::new(&ops, !access.allowlist.is_empty()));
        Arc::new(Self {
            access: Access::new(access, Arc::clone(ops.store())),
            ingest: Ingest::new(ingest),
            bodies: Places::new(BODIES),
            stop_bodies: Places::new(BODIES),
            visitors_bodies: Places::new(VISITORS_BODIES),
            streams: Arc::new(Streams::new(Arc::clone(&ops), Arc::clone(&snapshots))),
            snapshots,
            ready: SingleFlight::new(READY_TTL),
            metrics: HttpMetrics::default(),
            assets: Assets::new(),
            openapi: OnceLock::new(),
            request_ids: RequestIds::default(),
            request_log: Arc::default(),
            ops,
        })
    }
}
