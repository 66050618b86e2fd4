//! Requests as routes of the admin API.

use reqwest::Method;
use serde::Serialize;
use serde_json::{Value, json};
use simops::settings::is_name;

/// A request in the terms of HTTP.
pub(crate) struct Route {
    pub(super) method: Method,
    /// Segments below `/api/admin`.
    pub(super) path: Vec<String>,
    pub(super) query: Vec<(String, String)>,
    pub(super) body: Option<Value>,
    /// Why it cannot be sent.
    pub(super) refused: Option<String>,
}

/// A read of `path`.
pub(crate) fn get(path: &str) -> Route {
    let path = path.split('/').map(str::to_owned).collect();
    Route { method: Method::GET, path, query: Vec::new(), body: None, refused: None }
}

/// A write to `path`.
pub(crate) fn post(path: &str, body: &impl Serialize) -> Route {
    Route { method: Method::POST, body: Some(json!(body)), ..get(path) }
}

impl Route {
    /// The same as a change of a part.
    pub(crate) fn patch(self) -> Self {
        Self { method: Method::PATCH, ..self }
    }

    /// The same as a definition of a whole.
    pub(crate) fn put(self) -> Self {
        Self { method: Method::PUT, ..self }
    }

    /// The same as a deletion.
    pub(crate) fn delete(self) -> Self {
        Self { method: Method::DELETE, ..self }
    }

    /// The same with a parameter, if it has a value.
    pub(crate) fn with(mut self, name: &str, value: Option<impl ToString>) -> Self {
        self.query.extend(value.map(|value| (name.to_owned(), value.to_string())));
        self
    }

    /// The same with the fields of `parameters` that have a value.
    pub(crate) fn with_all(mut self, parameters: &impl Serialize) -> Self {
        for (name, value) in json!(parameters).as_object().into_iter().flatten() {
            match value {
                Value::Null => {}
                Value::String(text) => self.query.push((name.clone(), text.clone())),
                other => self.query.push((name.clone(), other.to_string())),
            }
        }
        self
    }

    /// The same one segment further down.
    pub(crate) fn at(mut self, segment: &str) -> Self {
        self.path.push(segment.to_owned());
        self
    }

    /// The same at the `kind` with this name. Another text could lead to another path, and nothing has
    /// it as its name.
    pub(crate) fn named(mut self, kind: &str, name: &str) -> Self {
        if name.is_empty() || !is_name(name, 64) {
            self.refused = Some(format!("there is no {kind} {name:?}"));
        }
        self.at(name)
    }

    /// Whether it changes something.
    pub(super) fn is_write(&self) -> bool {
        self.method != Method::GET
    }
}
