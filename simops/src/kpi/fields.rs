//! The fields of an incoming event, and their validation.

use std::fmt;

use jiff::Timestamp;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::FieldError;

/// The maximum number of metadata keys.
const MAX_KEYS: usize = 20;
/// The maximum length of the metadata in bytes, as JSON.
const MAX_METADATA: usize = 4_096;

/// An event before validation. Unknown fields are ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawEvent {
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

/// A [`RawEvent`] that is read only from a JSON object. The derived implementation would also accept
/// an array; with a flattened field it would not, but take twice as long.
pub(super) struct EventObject(pub(super) RawEvent);

impl<'de> Deserialize<'de> for EventObject {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = EventObject;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<EventObject, A::Error> {
        RawEvent::deserialize(MapAccessDeserializer::new(map)).map(EventObject)
    }
}

/// Validates the fields of one event and collects the errors.
pub(super) struct FieldChecker<'a> {
    pub(super) errors: &'a mut Vec<FieldError>,
}

impl FieldChecker<'_> {
    pub(super) fn fail(&mut self, field: &str, message: impl Into<String>) {
        self.errors.push(FieldError { field: field.to_owned(), message: message.into() });
    }

    /// Reports an error; the field has no value.
    fn reject<T>(&mut self, field: &str, message: impl Into<String>) -> Option<T> {
        self.fail(field, message);
        None
    }

    /// Checks that the value is a string of at most `max` characters without control characters.
    /// Null and blank strings count as absent.
    pub(super) fn text(&mut self, field: &str, value: Value, max: usize) -> Option<String> {
        let text = match value {
            Value::Null => return None,
            Value::String(text) => text,
            _ => return self.reject(field, "must be a string"),
        };
        if text.trim().is_empty() {
            return None;
        }
        // A string never has more characters than bytes, so most need no counting.
        if text.len() > max && text.chars().count() > max {
            return self.reject(field, format!("must have at most {max} characters"));
        }
        if text.chars().any(char::is_control) {
            return self.reject(field, "must not contain control characters");
        }
        Some(text)
    }

    /// Like [`FieldChecker::text`], but also accepts a number and converts it to text.
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

    /// Checks that the value is an RFC 3339 timestamp; `None` if it is absent.
    pub(super) fn time(&mut self, field: &str, value: Value) -> Option<Timestamp> {
        let text = self.text(field, value, 64)?;
        let time = text.trim().parse().ok();
        if time.is_none() {
            self.fail(field, "must be a time such as 2026-01-31T12:00:00Z");
        }
        time
    }

    /// Checks that the value is an object within the limits of keys and size.
    pub(super) fn metadata(&mut self, value: Value) -> Option<Map<String, Value>> {
        let map = match value {
            Value::Null => return None,
            Value::Object(map) => map,
            _ => return self.reject("metadata", "must be an object"),
        };
        if map.len() > MAX_KEYS {
            return self.reject("metadata", format!("must have at most {MAX_KEYS} keys"));
        }
        if map.is_empty() {
            return None;
        }
        if map.iter().any(|(key, value)| has_control(key) || value_has_control(value)) {
            return self.reject("metadata", "must not contain control characters");
        }
        if serde_json::to_string(&map).map_or(usize::MAX, |text| text.len()) > MAX_METADATA {
            return self
                .reject("metadata", format!("must have at most {MAX_METADATA} bytes as JSON"));
        }
        Some(map)
    }
}

fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

// The recursion depth is limited by the JSON parser's nesting limit.
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
