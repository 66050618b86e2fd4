//! Whether a value is allowed: alone, and together with the others.

use serde_json::{Value, json};

use super::{Effective, Registry, SettingKind, SettingSpec, key};
use crate::{Error, FieldError, Result};

impl SettingSpec {
    /// Whether `value` is allowed.
    ///
    /// # Errors
    /// `Invalid` naming the setting and what is allowed.
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

    /// The value that `text` (of the environment or a command line) spells.
    ///
    /// # Errors
    /// `Invalid` naming the setting, the text and what is allowed.
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

    /// `value` in the one form that is stored: 1 and 1.0 are the same float.
    pub fn canonical(&self, value: &Value) -> Value {
        match (self.kind, value.as_f64()) {
            (SettingKind::Float { .. }, Some(number)) => json!(number),
            _ => value.clone(),
        }
    }

    /// What is allowed, as a sentence.
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

/// Whether `text` has at most `max_chars` characters, all of them letters, digits, `_`, `:`, `-`.
pub fn is_name(text: &str, max_chars: usize) -> bool {
    text.len() <= max_chars
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':' | b'-'))
}

/// Whether the values are allowed together.
///
/// # Errors
/// `Invalid` when the hard budget is below the soft one and both are on; the message quotes both.
pub fn check_together(effective: &Effective) -> Result<()> {
    let (soft, hard) = (effective.float(key::BUDGET_SOFT), effective.float(key::BUDGET_HARD));
    if soft > 0.0 && hard > 0.0 && hard < soft {
        return Err(Error::invalid(
            key::BUDGET_HARD,
            format!("{hard} USD is below {} ({soft} USD)", key::BUDGET_SOFT),
        ));
    }
    Ok(())
}

/// Whether every one of `updates` is a known setting with an allowed value.
///
/// # Errors
/// `Rejected` naming the unknown settings; otherwise `Invalid` with every value that is not
/// allowed, not only the first.
pub fn check_updates<'a>(
    registry: &Registry,
    updates: impl IntoIterator<Item = (&'a String, &'a Value)>,
) -> Result<()> {
    let (mut unknown, mut wrong) = (Vec::new(), Vec::new());
    for (key, value) in updates {
        match registry.get(key) {
            None => unknown.push(shortened(key)),
            Some(spec) => {
                if spec.check(value).is_err() {
                    wrong.push(FieldError { field: key.clone(), message: spec.allowed() });
                }
            }
        }
    }
    if !unknown.is_empty() {
        return Err(Error::rejected(format!("unknown setting: {}", unknown.join(", "))));
    }
    if wrong.is_empty() { Ok(()) } else { Err(Error::invalid_fields(wrong)) }
}

/// A name from outside, short enough to be quoted in a message.
fn shortened(name: &str) -> String {
    let mut quoted: String = name.chars().take(80).collect();
    if quoted.len() < name.len() {
        quoted.push('…');
    }
    format!("{quoted:?}")
}
