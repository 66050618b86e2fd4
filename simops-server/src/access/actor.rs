//! The actor of a request: the name in `X-Admin-User` and the client's address.

use std::borrow::Cow;
use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use serde::Serialize;
use simops::ops::actor_name;

use crate::problem::Problem;

const ADMIN_USER: HeaderName = HeaderName::from_static("x-admin-user");

/// The client's address.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client(pub(crate) IpAddr);

/// Who sent a request. Only requests that passed the access checks have one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(crate) struct Actor {
    /// The name in `X-Admin-User`; `admin` by default.
    #[schema(value_type = String)]
    pub(crate) id: Cow<'static, str>,
    /// The client's address.
    #[schema(value_type = String)]
    pub(crate) ip: IpAddr,
}

impl Actor {
    /// The actor that `headers` name.
    ///
    /// # Errors
    /// 422 for a name with control characters, or one that is reserved for simops.
    pub(crate) fn named_in(headers: &HeaderMap, ip: IpAddr) -> Result<Self, Problem> {
        let Some(value) = headers.get(ADMIN_USER) else {
            return Ok(Self { id: Cow::Borrowed("admin"), ip });
        };
        // Header values have no charset. What is not UTF-8 is read as Latin-1.
        let name = match std::str::from_utf8(value.as_bytes()) {
            Ok(name) => name.to_owned(),
            Err(_) => value.as_bytes().iter().copied().map(char::from).collect(),
        };
        Ok(Self { id: actor_name("X-Admin-User", &name)?.into(), ip })
    }
}

impl<S: Sync> FromRequestParts<S> for Actor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // A route that the access checks did not cover has no actor and fails.
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            Problem::internal("an admin route was reached without access checks".to_owned())
        })
    }
}
