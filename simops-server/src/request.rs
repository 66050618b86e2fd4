//! What handlers take: the use cases to read from, or a write request.

use std::ops::Deref;
use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, MatchedPath, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use simops::control::Write;
use simops::ops::{Caller, Ops, Writer};
use simops::store::IdempotencyKey;

use crate::access::{Actor, write_of};
use crate::body;
use crate::problem::Problem;
use crate::state::App;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const MAX_KEY_CHARS: usize = 255;

/// The use cases, for a request to read that passed the access checks.
pub(crate) struct ReadOps(App);

impl FromRequestParts<App> for ReadOps {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        Actor::from_request_parts(parts, app).await?;
        Ok(Self(Arc::clone(app)))
    }
}

impl Deref for ReadOps {
    type Target = Ops;

    fn deref(&self) -> &Ops {
        &self.0.ops
    }
}

/// A write request: its actor and idempotency key, and its body.
pub(crate) struct WriteRequest<T> {
    app: App,
    caller: Caller,
    pub(crate) body: T,
}

impl<T> WriteRequest<T> {
    /// The right to write, as the actor.
    pub(crate) async fn writer(&self) -> Result<Writer<'_>, Problem> {
        Ok(self.app.ops.writer(&self.caller).await?)
    }
}

impl<T: DeserializeOwned> FromRequest<App> for WriteRequest<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let actor = Actor::from_request_parts(&mut parts, app).await?;
        let key = idempotency_key(&parts.headers)?;
        let admitted = body::check_type(&parts.headers, &body);
        let route = parts.extensions.get::<MatchedPath>();
        let write = route.and_then(|route| write_of(&parts.method, route.as_str()));
        // Slow bodies of other requests must not keep out a pause or a stop.
        let places = match write.is_some_and(Write::passes_stop_only) {
            true => &app.stop_bodies,
            false => &app.bodies,
        };
        let admitted = admitted.and_then(|()| places.take_for(actor.ip, &body));
        let (_place, bytes) = body::read_admitted(admitted, body, |_| ()).await?;
        let idempotency = key.map(|key| IdempotencyKey {
            key,
            fingerprint: fingerprint(parts.method.as_str(), parts.uri.path(), &bytes),
        });
        let caller = Caller { actor: actor.id.into_owned(), reason: None, idempotency };
        Ok(Self { app: Arc::clone(app), caller, body: body::parse(&bytes)? })
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let key = std::str::from_utf8(value.as_bytes()).ok();
    let key = key.filter(|key| (1..=MAX_KEY_CHARS).contains(&key.len()));
    match key.filter(|key| key.bytes().all(|byte| byte.is_ascii_graphic())) {
        Some(key) => Ok(Some(key.to_owned())),
        None => Err(Problem::invalid(
            "Idempotency-Key",
            "must be 1 to 255 visible ASCII characters, without spaces",
        )),
    }
}

/// A hash of the request, which an idempotency key must repeat with.
fn fingerprint(method: &str, path: &str, body: &[u8]) -> String {
    let mut digest = Sha256::new();
    for part in [method.as_bytes(), b"\n", path.as_bytes(), b"\n", body] {
        digest.update(part);
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
