//! One event's fields as they arrive, of any type, and the checks of each.

use std::fmt;

use jiff::Timestamp;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::FieldError;

/// Most keys of an event's metadata.
const MAX_KEYS: usize = 20;
/// Longest metadata, as JSON.
const MAX_METADATA: usize = 4_096;

/// An event as it arrives. Unknown fields are ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Raw {
    pub(super) event_name: Value,
    pub(super) visitor_id: Value,
    pub(super) session_id: Value,
    pub(super) run_id: Value,
    pub(super) event_id: Value,
    pub(super) surface: Value,
    pub(super) target: Value,
    pub(super) path: Value,
    pub(super) referrer: Value,
    pub(super) metadata: Value,
    pub(super) occurred_at: Value,
    pub(super) event_uid: Value,
}

/// A [`Raw`] of an object only: by itself it would take an array of values, too.
pub(super) struct Object(pub(super) Raw);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_map(AnObject)
    }
}

struct AnObject;

impl<'de> Visitor<'de> for AnObject {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event, which is an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object, A::Error> {
        Raw::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

/// Collects what is wrong with the fields of one event.
pub(super) struct Check<'a> {
    /// What names the event among others, as a field's prefix.
    pub(super) prefix: &'a str,
    pub(super) wrong: &'a mut Vec<FieldError>,
}

impl Check<'_> {
    pub(super) fn fail(&mut self, field: &str, message: impl Into<String>) {
        let field = format!("{}{field}", self.prefix);
        self.wrong.push(FieldError { field, message: message.into() });
    }

    /// A text of a bounded length without control characters. Null and, unless it is required, an
    /// empty one are absent.
    pub(super) fn text(&mut self, field: &str, value: Value, max: usize) -> Option<String> {
        let text = match value {
            Value::Null => return None,
            Value::String(text) => text,
            _ => {
                self.fail(field, "must be a text");
                return None;
            }
        };
        if text.trim().is_empty() {
            return None;
        }
        // Bytes bound characters, so most texts need not be counted.
        if text.len() > max && text.chars().count() > max {
            self.fail(field, format!("must have at most {max} characters"));
            return None;
        }
        if text.chars().any(char::is_control) {
            self.fail(field, "must not contain control characters");
            return None;
        }
        Some(text)
    }

    /// As [`Check::text`]; a number is taken as its digits.
    pub(super) fn text_or_number(
        &mut self,
        field: &str,
        value: Value,
        max: usize,
    ) -> Option<String> {
        match value {
            Value::Number(number) => Some(number.to_string()),
            other => self.text(field, other, max),
        }
    }

    /// A time; `None` when absent.
    pub(super) fn time(&mut self, field: &str, value: Value) -> Option<Timestamp> {
        let text = self.text(field, value, 64)?;
        let time = text.trim().parse().ok();
        if time.is_none() {
            self.fail(field, "must be a time such as 2026-01-31T12:00:00Z");
        }
        time
    }

    /// A small object.
    pub(super) fn metadata(&mut self, value: Value) -> Option<Map<String, Value>> {
        let map = match value {
            Value::Null => return None,
            Value::Object(map) => map,
            _ => {
                self.fail("metadata", "must be an object");
                return None;
            }
        };
        if map.len() > MAX_KEYS {
            self.fail("metadata", format!("must have at most {MAX_KEYS} keys"));
            return None;
        }
        if map.is_empty() {
            return None;
        }
        if map.iter().any(|(key, value)| has_control(key) || value_has_control(value)) {
            self.fail("metadata", "must not contain control characters");
            return None;
        }
        if serde_json::to_string(&map).map_or(usize::MAX, |text| text.len()) > MAX_METADATA {
            self.fail("metadata", format!("must have at most {MAX_METADATA} bytes as JSON"));
            return None;
        }
        Some(map)
    }
}

fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

// Bounded by the parser's own limit of nesting.
fn value_has_control(value: &Value) -> bool {
    match value {
        Value::String(text) => has_control(text),
        Value::Array(items) => items.iter().any(value_has_control),
        Value::Object(map) => {
            map.iter().any(|(key, value)| has_control(key) || value_has_control(value))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
