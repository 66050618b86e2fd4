//! The parameters of paths and queries.

use std::collections::BTreeMap;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use jiff::Timestamp;
use simops::clock::truncate_to_micros;
use simops::run::RunSelection;

use crate::problem::Problem;

/// The one parameter of a path, percent-decoded. One that is not UTF-8 names nothing: 404.
pub(crate) struct PathParam(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for PathParam {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let params = RawPathParams::from_request_parts(parts, state).await;
        let params = params.map_err(|_| Problem::no_such_path())?;
        let value = params.iter().next().map(|(_, value)| Self(value.to_owned()));
        value.ok_or_else(Problem::no_such_path)
    }
}

/// The parameters that may be given several times.
const REPEATABLE: [&str; 1] = ["label"];

/// The parameters of a query. Unknown ones are ignored.
pub(crate) struct Query(BTreeMap<String, Vec<String>>);

impl Query {
    /// A whole number, or `default` when absent.
    pub(crate) fn int(&self, name: &str, default: i64) -> Result<i64, Problem> {
        match self.first(name) {
            None => Ok(default),
            Some(text) => {
                text.parse().map_err(|_| Problem::invalid(name, "must be a whole number"))
            }
        }
    }

    /// `true` or `false`; absent or empty means false.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.text(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Problem::invalid(name, "must be true or false")),
        }
    }

    /// A time; an empty one is absent.
    pub(crate) fn time(&self, name: &str) -> Result<Option<Timestamp>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let time = text.parse().map(truncate_to_micros);
        time.map(Some).map_err(|_| {
            Problem::invalid(name, "must be a time in RFC 3339, such as 2026-03-01T12:00:00Z")
        })
    }

    /// A text; an empty one is absent.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.first(name).filter(|text| !text.is_empty())
    }

    /// All texts of a parameter that may be given several times, without empty ones.
    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        let texts = self.0.get(name).into_iter().flatten();
        texts.filter(|text| !text.is_empty()).cloned().collect()
    }

    /// The runs selected by `run_id`, `group_id` and any number of `label`.
    pub(crate) fn selection(&self) -> Result<RunSelection, Problem> {
        let (run_id, group_id) = (self.text("run_id"), self.text("group_id"));
        Ok(RunSelection::of_query(run_id, group_id, &self.texts("label"))?)
    }

    fn first(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.first().map(String::as_str)
    }
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut parameters = BTreeMap::<String, Vec<String>>::new();
        let pairs = url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
        for (name, value) in pairs {
            if name.chars().chain(value.chars()).any(char::is_control) {
                let name = name.replace(char::is_control, "\u{fffd}");
                return Err(Problem::invalid(&name, "must not contain control characters"));
            }
            let values = parameters.entry(name.to_string()).or_default();
            values.push(value.into_owned());
            if values.len() > 1 && !REPEATABLE.contains(&&*name) {
                return Err(Problem::invalid(&name, "must be given once"));
            }
        }
        Ok(Self(parameters))
    }
}
