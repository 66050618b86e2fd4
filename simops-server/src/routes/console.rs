//! The console's page and assets.

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};

use crate::assets::redirect;
use crate::problem::Problem;
use crate::state::App;

pub(super) async fn root() -> Response {
    redirect("ops")
}

pub(super) async fn slash() -> Response {
    redirect("../ops")
}

pub(super) async fn page(State(app): State<App>, headers: HeaderMap) -> Response {
    app.assets.page(&headers)
}

pub(super) async fn asset(
    State(app): State<App>,
    headers: HeaderMap,
    path: Result<RawPathParams, RawPathParamsRejection>,
) -> Response {
    let Ok(path) = path else { return Problem::no_such_path().into_response() };
    let of = |wanted| path.iter().find(|(name, _)| *name == wanted).map_or("", |(_, of)| of);
    app.assets.file(of("version"), of("name"), &headers)
}
