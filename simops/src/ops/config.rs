//! Reading and changing runtime settings.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Ops, Writer};
use crate::Result;
use crate::control::{Command, Environment, Write, WriteGate};
use crate::execute::Intent;
use crate::settings::validate::check_updates;
use crate::settings::{Effective, Overrides, SettingKind, SettingSpec, key};

/// A setting and what it allows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MutableKey {
    /// `bool`, `int`, `float` or `str`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it does.
    pub description: String,
    /// Smallest value of a number.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub min: Option<serde_json::Number>,
    /// Greatest value of a number, greatest length of a text.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub max: Option<serde_json::Number>,
    /// The allowed values of a choice.
    pub allowed_values: Option<Vec<String>>,
}

/// `GET config`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConfigResponse {
    /// Values without overrides.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub defaults: BTreeMap<String, Value>,
    /// Values that override defaults.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub overrides: Overrides,
    /// Values in force.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub effective: BTreeMap<String, Value>,
    /// The settings that can be changed, with what each allows.
    pub mutable_keys: BTreeMap<String, MutableKey>,
    /// Whether all writes are allowed.
    pub admin_write_enabled: bool,
    /// The write gate.
    pub admin_write_gate: WriteGate,
    /// The environment whose rules apply: `production` on a database that is marked so.
    pub environment: Environment,
}

/// `PATCH config`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PatchConfig {
    /// New values by name.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub updates: Overrides,
    /// The reason, for the audit trail.
    #[serde(default)]
    pub reason: Option<String>,
}

/// What a `PATCH config` changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PatchedConfig {
    /// The settings whose value changed, with the new value.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub applied: Map<String, Value>,
    /// Values in force.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub effective: BTreeMap<String, Value>,
}

impl Ops {
    /// The settings: defaults, overrides, values in force, and what each allows.
    pub async fn config(&self) -> Result<ConfigResponse> {
        let state = self.store.load().await?;
        let registry = &self.options.registry;
        let rules = self.executor.rules_on(&state);
        Ok(ConfigResponse {
            defaults: registry.specs().map(|s| (s.key.to_owned(), s.default.clone())).collect(),
            effective: state.effective(registry).values().clone(),
            mutable_keys: registry.specs().map(|s| (s.key.to_owned(), s.into())).collect(),
            overrides: state.overrides,
            admin_write_enabled: rules.gate() == WriteGate::Open,
            admin_write_gate: rules.gate(),
            environment: rules.environment(),
        })
    }
}

impl Writer<'_> {
    /// Changes settings, all or none.
    ///
    /// # Errors
    /// Returns `Forbidden` when the gate is closed, `Invalid` for values that are not allowed,
    /// `Rejected` for unknown names, and `Conflict` naming the control to use for run state that
    /// would no longer agree with the run registry.
    pub async fn patch_config(&self, patch: PatchConfig) -> Result<PatchedConfig> {
        let permit = self.permit_for(Write::PatchConfig, patch.reason.as_deref())?;
        let registry = &self.ops.options.registry;
        check_updates(registry, &patch.updates)?;
        if patch.updates.get(key::ACTIVE) == Some(&Value::Bool(true)) {
            self.ops.report_end_before_resume(None).await;
        }
        let intent = Intent::Command(Command::Patch(patch.updates));
        self.ops
            .executor
            .execute(&permit, &intent, |before, change| {
                let before = before.effective(registry);
                let after = change.next.effective(registry);
                PatchedConfig {
                    applied: applied(&before, &after),
                    effective: after.values().clone(),
                }
            })
            .await
    }
}

fn applied(before: &Effective, after: &Effective) -> Map<String, Value> {
    let changed = after.values().iter().filter(|(key, value)| before.get(key) != *value);
    changed.map(|(key, value)| (key.clone(), value.clone())).collect()
}

impl From<&SettingSpec> for MutableKey {
    fn from(spec: &SettingSpec) -> Self {
        let number = serde_json::Number::from_f64;
        let (kind, min, max, words) = match spec.kind {
            SettingKind::Bool => ("bool", None, None, None),
            SettingKind::Int { min, max } => ("int", Some(min.into()), Some(max.into()), None),
            SettingKind::Float { min, max } => ("float", number(min), number(max), None),
            SettingKind::Choice(words) => ("str", None, None, Some(words)),
            SettingKind::Name { max_chars } => ("str", None, Some(max_chars.into()), None),
        };
        let allowed_values = words.map(|words| words.iter().map(|w| (*w).to_owned()).collect());
        let description = spec.description.to_owned();
        Self { kind: kind.to_owned(), description, min, max, allowed_values }
    }
}
