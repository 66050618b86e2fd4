//! Requests as routes of the admin API.

use reqwest::Method;
use serde::Serialize;
use serde_json::Value;
use simops::ops::ReasonBody;
use simops::settings::is_name;
use uuid::Uuid;

use crate::exit::Failure;
use crate::request::Request;

/// A request in the terms of HTTP.
pub(super) struct Route {
    pub(super) method: Method,
    /// Segments below `/api/admin`.
    pub(super) path: Vec<String>,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) body: Option<Value>,
}

impl Route {
    /// The route of `request`.
    pub(super) fn of(request: &Request) -> Result<Self, Failure> {
        let route = match request {
            Request::Status => get("status"),
            Request::Start(body) => post("control/run/start", body)?,
            Request::Stop(body) => post("control/run/stop", body)?,
            Request::Pause(body) => post("control/pause", body)?,
            Request::Resume(body) => post("control/resume", body)?,
            Request::Reset(body) => post("control/run/reset-dev", body)?,
            Request::Degrade(body) => post("control/degrade", body)?,
            Request::ClearDegrade(body) => post("control/degrade/clear", body)?,
            Request::Runs { limit, cursor } => {
                get("runs").with("limit", Some(limit)).with("cursor", cursor.as_ref())
            }
            Request::Run { run_id } => get("runs").at(run_name(run_id)?),
            Request::Metrics { run_id, hours_fallback } => get("run/metrics")
                .with("run_id", run_id.as_ref())
                .with("hours_fallback", Some(hours_fallback)),
            Request::Config => get("config"),
            Request::PatchConfig(body) => Self { method: Method::PATCH, ..post("config", body)? },
            Request::Baseline(options) => post("baseline", options)?,
            Request::Report { run_id, ended_at } => {
                let route = get("runs").at(run_name(run_id)?).at("report");
                route.with("ended_at", ended_at.as_ref())
            }
            Request::CompareRuns { a, b } => {
                get("run/compare").with("a", Some(run_name(a)?)).with("b", Some(run_name(b)?))
            }
            Request::Digest(options) => post("digest", options)?,
            Request::Digests { status, limit, cursor } => get("digests")
                .with("status", status.as_ref())
                .with("limit", Some(limit))
                .with("cursor", cursor.as_ref()),
            Request::DigestNamed { slug } => get("digests").at(digest_name(slug)?),
            Request::PublishDigest { slug, body } => {
                post("digests", body)?.at(digest_name(slug)?).at("publish")
            }
            Request::DiscardDigest { slug, body } => {
                post("digests", body)?.at(digest_name(slug)?).at("discard")
            }
            Request::Audit { limit, offset } => {
                get("audit").with("limit", Some(limit)).with("offset", Some(offset))
            }
            Request::VerifyAudit(head) => get("audit/verify")
                .with("head_id", head.as_ref().map(|head| head.id))
                .with("head_hash", head.as_ref().map(|head| &head.hash)),
            Request::KpiRollups { days } => get("kpi/rollups").with("days", Some(days)),
            Request::Alerts { limit, cursor } => {
                get("kpi/alerts").with("limit", Some(limit)).with("cursor", cursor.as_ref())
            }
            Request::AcknowledgeAlert { id, reason } => {
                of_id(post("kpi/alerts", &because(reason))?, id)?.at("acknowledge")
            }
            Request::SilenceAlert { id, silence } => {
                of_id(post("kpi/alerts", silence)?, id)?.at("silence")
            }
            Request::Messages { limit, cursor } => {
                get("kpi/notifications").with("limit", Some(limit)).with("cursor", cursor.as_ref())
            }
            Request::Delivery { id } => of_id(get("kpi/deliveries"), id)?,
            Request::ReplayDelivery { id, reason } => {
                of_id(post("kpi/deliveries", &because(reason))?, id)?.at("replay")
            }
            Request::Events(query) => get("events")
                .with("run_id", query.run_id.as_ref())
                .with("type", query.event_type.as_ref())
                .with("after", query.after)
                .with("until", query.until)
                .with("cursor", query.cursor.as_ref())
                .with("limit", Some(query.limit)),
        };
        Ok(route)
    }

    /// Whether it changes something.
    pub(super) fn is_write(&self) -> bool {
        self.method != Method::GET
    }

    fn with(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        self.query.extend(value.map(|value| (name, value.to_string())));
        self
    }

    fn at(mut self, segment: &str) -> Self {
        self.path.push(segment.to_owned());
        self
    }
}

/// Another name could lead to another path, and no run has it.
fn run_name(run_id: &str) -> Result<&str, Failure> {
    if run_id.is_empty() || !is_name(run_id, 64) {
        return Err(Failure::new(format!("there is no run {run_id:?}")));
    }
    Ok(run_id)
}

/// Another name could lead to another path, and no digest has it.
fn digest_name(slug: &str) -> Result<&str, Failure> {
    if slug.is_empty() || !is_name(slug, 64) {
        return Err(Failure::new(format!("there is no digest {slug:?}")));
    }
    Ok(slug)
}

/// The same at the id of something. Another text could lead to another path, and nothing has it.
fn of_id(route: Route, id: &str) -> Result<Route, Failure> {
    match id.parse::<Uuid>() {
        Ok(id) => Ok(route.at(&id.to_string())),
        Err(_) => Err(Failure::new(format!("nothing has the id {id:?}"))),
    }
}

fn because(reason: &Option<String>) -> ReasonBody {
    ReasonBody { reason: reason.clone() }
}

fn get(path: &str) -> Route {
    let path = path.split('/').map(str::to_owned).collect();
    Route { method: Method::GET, path, query: Vec::new(), body: None }
}

fn post(path: &str, body: &impl Serialize) -> Result<Route, Failure> {
    let body = serde_json::to_value(body)
        .map_err(|error| Failure::new(format!("the request cannot be written: {error}")))?;
    Ok(Route { method: Method::POST, body: Some(body), ..get(path) })
}
