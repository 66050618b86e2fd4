//! Who acts: the name in `X-Admin-User`, and where the request came from.

use std::borrow::Cow;
use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use serde::Serialize;
use simops::execute::actor_name;

use crate::problem::Problem;

const ADMIN_USER: HeaderName = HeaderName::from_static("x-admin-user");

/// Where a request came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client(pub(crate) IpAddr);

/// Who acts. Only requests that were let in have one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(crate) struct Actor {
    /// The name given in `X-Admin-User`; `admin` when none was.
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
    /// A name with control characters, or one of simops itself.
    pub(crate) fn named_in(headers: &HeaderMap, ip: IpAddr) -> Result<Self, Problem> {
        let Some(value) = headers.get(ADMIN_USER) else {
            return Ok(Self { id: Cow::Borrowed("admin"), ip });
        };
        // Header values have no charset; what is no UTF-8 was meant as latin-1.
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
        // Closed by default: a route that the access checks did not see has no actor.
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            Problem::internal("an admin route was reached without access checks".to_owned())
        })
    }
}
