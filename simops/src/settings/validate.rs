//! Validation of setting values, individually and in combination.

use serde_json::{Value, json};

use super::{Effective, Overrides, Registry, SettingKind, SettingSpec, key};
use crate::{Error, FieldError, Result};

impl SettingSpec {
    /// Checks that `value` is allowed.
    ///
    /// # Errors
    /// Returns `Invalid` if it is not. The message contains the setting and the allowed values.
    pub fn check(&self, value: &Value) -> Result<()> {
        let allowed = match self.kind {
            SettingKind::Bool => value.is_boolean(),
            SettingKind::Int { min, max } => {
                value.as_i64().is_some_and(|number| (min..=max).contains(&number))
            }
            SettingKind::Float { min, max } => {
                value.as_f64().is_some_and(|number| (min..=max).contains(&number))
            }
            SettingKind::Choice(words) => value.as_str().is_some_and(|word| words.contains(&word)),
            SettingKind::Name { max_chars } => {
                value.as_str().is_some_and(|text| is_name(text, max_chars))
            }
        };
        if allowed { Ok(()) } else { Err(Error::invalid(self.key, self.allowed())) }
    }

    /// Parses a value from an environment variable or a command line.
    ///
    /// # Errors
    /// Returns `Invalid` if the text is not an allowed value. The message contains the setting, the
    /// text and the allowed values.
    pub fn parse(&self, text: &str) -> Result<Value> {
        let value = match self.kind {
            SettingKind::Bool => text.to_ascii_lowercase().parse::<bool>().ok().map(Value::from),
            SettingKind::Int { .. } => text.parse::<i64>().ok().map(Value::from),
            SettingKind::Float { .. } => text.parse::<f64>().ok().map(|number| json!(number)),
            SettingKind::Choice(_) | SettingKind::Name { .. } => Some(Value::from(text)),
        };
        value.filter(|value| self.check(value).is_ok()).ok_or_else(|| {
            Error::invalid(self.key, format!("{text:?} is not allowed; {}", self.allowed()))
        })
    }

    /// The form in which `value` is stored: a float setting stores 1 and 1.0 alike, and 0 without a sign.
    pub fn canonical(&self, value: &Value) -> Value {
        match (self.kind, value.as_f64()) {
            (SettingKind::Float { .. }, Some(number)) => json!(number + 0.0),
            _ => value.clone(),
        }
    }

    /// A sentence that describes the allowed values.
    pub fn allowed(&self) -> String {
        match self.kind {
            SettingKind::Bool => "must be true or false".to_owned(),
            SettingKind::Int { min, max } => {
                format!("must be a whole number between {min} and {max}")
            }
            SettingKind::Float { min, max } => format!("must be a number between {min} and {max}"),
            SettingKind::Choice(words) => format!("must be one of {}", words.join(", ")),
            SettingKind::Name { max_chars } => {
                format!("must be at most {max_chars} characters of letters, digits, '_', ':', '-'")
            }
        }
    }
}

impl Registry {
    /// Replaces defaults with the values that `lookup` returns, usually from environment variables.
    ///
    /// # Errors
    /// Returns `Invalid` if a value is not allowed, with the setting, the value and the allowed
    /// values; also for a setting that holds run state, see [`Registry::check_environment`].
    pub fn with_defaults_from(mut self, lookup: impl Fn(&str) -> Option<String>) -> Result<Self> {
        Self::check_environment(&lookup)?;
        for spec in &mut self.specs {
            if let Some(text) = lookup(spec.key).filter(|text| !text.trim().is_empty()) {
                spec.default = spec.parse(text.trim())?;
            }
        }
        check_together(&Effective::of(&self, &Overrides::new()))?;
        Ok(self)
    }
}

/// Whether `text` has at most `max_chars` characters and contains only letters, digits, `_`, `:` and `-`.
pub fn is_name(text: &str, max_chars: usize) -> bool {
    text.len() <= max_chars
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':' | b'-'))
}

/// Checks the combination of all values.
///
/// # Errors
/// Returns `Invalid` if both budgets are set and the hard budget is below the soft one. The message
/// contains both values.
pub(crate) fn check_together(effective: &Effective) -> Result<()> {
    let (soft, hard) = (effective.float(key::BUDGET_SOFT), effective.float(key::BUDGET_HARD));
    if soft > 0.0 && hard > 0.0 && hard < soft {
        return Err(Error::invalid(
            key::BUDGET_HARD,
            format!("{hard} USD is below {} ({soft} USD)", key::BUDGET_SOFT),
        ));
    }
    Ok(())
}

/// Checks that all `updates` are known settings with allowed values.
///
/// # Errors
/// Returns `Rejected`, with the names of all unknown settings, if there are any; otherwise `Invalid`,
/// with all values that are not allowed.
pub(crate) fn check_updates<'a>(
    registry: &Registry,
    updates: impl IntoIterator<Item = (&'a String, &'a Value)>,
) -> Result<()> {
    let (mut unknown, mut errors) = (Vec::new(), Vec::new());
    for (key, value) in updates {
        match registry.get(key) {
            None => unknown.push(shortened(key)),
            Some(spec) => {
                if spec.check(value).is_err() {
                    errors.push(FieldError { field: key.clone(), message: spec.allowed() });
                }
            }
        }
    }
    if !unknown.is_empty() {
        return Err(Error::rejected(format!("unknown setting: {}", unknown.join(", "))));
    }
    if errors.is_empty() { Ok(()) } else { Err(Error::invalid_fields(errors)) }
}

/// Truncates and quotes a name from outside for a message.
fn shortened(name: &str) -> String {
    let mut quoted: String = name.chars().take(80).collect();
    if quoted.len() < name.len() {
        quoted.push('…');
    }
    format!("{quoted:?}")
}
