//! Runtime settings: what may be changed while a simulation runs, and within which bounds.
//!
//! [`registry`] is the table, [`validate`] checks values against it. Where overrides live and how
//! a change is made true is [`crate::control`]'s matter.

pub mod registry;
pub mod validate;

use std::collections::BTreeMap;

use serde_json::Value;

pub use registry::{Registry, SettingKind, SettingSpec, key};

/// Values by setting name. A key that is absent has its default.
pub type Overrides = BTreeMap<String, Value>;

/// Every setting's value: the default, or the override that replaces it.
#[derive(Debug, Clone, PartialEq)]
pub struct Effective(BTreeMap<String, Value>);

impl Effective {
    /// The defaults of `registry` under `overrides`.
    pub fn of(registry: &Registry, overrides: &Overrides) -> Self {
        let values = registry.specs().map(|spec| {
            let value = overrides.get(spec.key).unwrap_or(&spec.default);
            (spec.key.to_owned(), value.clone())
        });
        Self(values.collect())
    }

    /// Every value by name.
    pub fn values(&self) -> &BTreeMap<String, Value> {
        &self.0
    }

    /// A value of any kind; null for a name the registry does not know.
    pub fn get(&self, key: &str) -> &Value {
        self.0.get(key).unwrap_or(&Value::Null)
    }

    /// A text; empty for what is none.
    pub fn text(&self, key: &str) -> &str {
        self.get(key).as_str().unwrap_or_default()
    }

    /// A switch; off for what is none.
    pub fn flag(&self, key: &str) -> bool {
        self.get(key).as_bool().unwrap_or_default()
    }

    /// A whole number; 0 for what is none.
    pub fn int(&self, key: &str) -> i64 {
        self.get(key).as_i64().unwrap_or_default()
    }

    /// A number; 0 for what is none.
    pub fn float(&self, key: &str) -> f64 {
        self.get(key).as_f64().unwrap_or_default()
    }
}
