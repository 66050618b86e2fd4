//! Runtime settings, which can be changed while a simulation runs.
//!
//! `registry` defines the settings and `validate` checks values. Overrides are part of the control
//! state; see [`crate::control`].

mod registry;
#[cfg(test)]
mod tests;
pub(crate) mod validate;

use std::collections::BTreeMap;

use serde_json::Value;

pub use registry::{Registry, SettingKind, SettingSpec, key};
pub use validate::is_name;

/// Overridden values by setting name. Other settings have their default.
pub type Overrides = BTreeMap<String, Value>;

/// The effective value of every setting: its override or else its default.
#[derive(Debug, Clone, PartialEq)]
pub struct Effective(BTreeMap<String, Value>);

impl Effective {
    /// Applies `overrides` to the defaults of `registry`.
    pub fn of(registry: &Registry, overrides: &Overrides) -> Self {
        let values = registry.specs().map(|spec| {
            let value = overrides.get(spec.key).unwrap_or(&spec.default);
            (spec.key.to_owned(), value.clone())
        });
        Self(values.collect())
    }

    /// All values by name.
    pub fn values(&self) -> &BTreeMap<String, Value> {
        &self.0
    }

    /// The value of a setting; null if the setting is unknown.
    pub fn get(&self, key: &str) -> &Value {
        self.0.get(key).unwrap_or(&Value::Null)
    }

    /// The value of a text setting; empty if the setting has another type.
    pub fn text(&self, key: &str) -> &str {
        self.get(key).as_str().unwrap_or_default()
    }

    /// The value of a boolean setting; false if the setting has another type.
    pub fn flag(&self, key: &str) -> bool {
        self.get(key).as_bool().unwrap_or_default()
    }

    /// The value of an integer setting; 0 if the setting has another type.
    pub fn int(&self, key: &str) -> i64 {
        self.get(key).as_i64().unwrap_or_default()
    }

    /// The value of a numeric setting; 0 if the setting has another type.
    pub fn float(&self, key: &str) -> f64 {
        self.get(key).as_f64().unwrap_or_default()
    }
}
