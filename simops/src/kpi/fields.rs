//! The fields of an incoming event, and their validation.

use std::fmt;

use jiff::Timestamp;
use serde::de::value::MapAccessDeserializer;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::FieldError;

/// The maximum number of metadata keys.
const MAX_KEYS: usize = 20;
/// The maximum length of a key or a string of the metadata in characters.
const MAX_METADATA_TEXT: usize = 512;
/// The maximum length of the metadata in bytes, as JSON.
const MAX_METADATA: usize = 4_096;
/// Replaces a control character.
const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

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
    pub(super) metadata: RawMetadata,
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

/// The metadata of an event before validation: its first [`MAX_KEYS`] keys in the order in which they
/// were sent.
#[derive(Debug, Default)]
pub(super) enum RawMetadata {
    /// Missing or null.
    #[default]
    Absent,
    /// An object.
    Pairs(Vec<(String, Value)>),
    /// Not an object.
    Other,
}

impl<'de> Deserialize<'de> for RawMetadata {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_any(MetadataVisitor)
    }
}

struct MetadataVisitor;

impl<'de> Visitor<'de> for MetadataVisitor {
    type Value = RawMetadata;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawMetadata, A::Error> {
        let mut pairs: Vec<(String, Value)> = Vec::new();
        while pairs.len() < MAX_KEYS {
            let Some((key, value)) = map.next_entry::<String, Value>()? else { break };
            // Of equal keys the last one counts, as usual in JSON.
            match pairs.iter_mut().find(|(known, _)| *known == key) {
                Some(pair) => pair.1 = value,
                None => pairs.push((key, value)),
            }
        }
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(RawMetadata::Pairs(pairs))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<RawMetadata, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(RawMetadata::Other)
    }

    fn visit_unit<E>(self) -> Result<RawMetadata, E> {
        Ok(RawMetadata::Absent)
    }

    fn visit_bool<E>(self, _: bool) -> Result<RawMetadata, E> {
        Ok(RawMetadata::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<RawMetadata, E> {
        Ok(RawMetadata::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<RawMetadata, E> {
        Ok(RawMetadata::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<RawMetadata, E> {
        Ok(RawMetadata::Other)
    }

    fn visit_str<E>(self, _: &str) -> Result<RawMetadata, E> {
        Ok(RawMetadata::Other)
    }
}

/// Validates the fields of one event and collects the errors.
///
/// A page does not repair an event that was refused, so only what cannot be counted is refused: a
/// name, a visitor, a time or a type that is wrong. Free text is repaired: control characters are
/// replaced, and what is too long is cut.
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

    /// Checks that the value is a string. Null and blank strings count as absent.
    pub(super) fn text(&mut self, field: &str, value: Value) -> Option<String> {
        match value {
            Value::Null => None,
            Value::String(text) => (!text.trim().is_empty()).then_some(text),
            _ => self.reject(field, "must be a string"),
        }
    }

    /// Checks that the value is a string of at most `max` characters without control characters.
    pub(super) fn strict_text(&mut self, field: &str, value: Value, max: usize) -> Option<String> {
        let text = self.text(field, value)?;
        // A string never has more characters than bytes, so most need no counting.
        if text.len() > max && text.chars().count() > max {
            return self.reject(field, format!("must have at most {max} characters"));
        }
        if text.chars().any(char::is_control) {
            return self.reject(field, "must not contain control characters");
        }
        Some(text)
    }

    /// Checks that the value is a string, and repairs it.
    pub(super) fn free_text(&mut self, field: &str, value: Value, max: usize) -> Option<String> {
        self.text(field, value).map(|text| repaired(text, max))
    }

    /// Like [`FieldChecker::free_text`], but also accepts a number and converts it to text.
    pub(super) fn text_or_number(
        &mut self,
        field: &str,
        value: Value,
        max: usize,
    ) -> Option<String> {
        match value {
            Value::Number(number) => Some(number.to_string()),
            other => self.free_text(field, other, max),
        }
    }

    /// Checks that the value is an RFC 3339 timestamp; `None` if it is absent.
    pub(super) fn time(&mut self, field: &str, value: Value) -> Option<Timestamp> {
        let text = self.text(field, value)?;
        let time = text.trim().parse().ok();
        if time.is_none() {
            self.fail(field, "must be a time such as 2026-01-31T12:00:00Z");
        }
        time
    }

    /// Checks that the value is an object. Its strings are repaired, and keys that exceed the size
    /// limit are left out.
    pub(super) fn metadata(&mut self, raw: RawMetadata) -> Option<Map<String, Value>> {
        let pairs = match raw {
            RawMetadata::Absent => return None,
            RawMetadata::Pairs(pairs) => pairs,
            RawMetadata::Other => return self.reject("metadata", "must be an object"),
        };
        let (mut map, mut size) = (Map::new(), "{}".len());
        for (key, value) in pairs {
            let (key, value) = (repaired(key, MAX_METADATA_TEXT), repaired_value(value));
            // Of the length of the pair with its comma, and one more.
            let array = serde_json::to_string(&(&key, &value));
            let added = array.map_or(usize::MAX, |array| array.len());
            if size.saturating_add(added) <= MAX_METADATA {
                size += added;
                map.insert(key, value);
            }
        }
        (!map.is_empty()).then_some(map)
    }
}

/// The first `max` characters of `text`, with control characters replaced.
fn repaired(mut text: String, max: usize) -> String {
    if text.len() > max
        && let Some((end, _)) = text.char_indices().nth(max)
    {
        text.truncate(end);
    }
    if text.chars().any(char::is_control) {
        text = text.replace(char::is_control, REPLACEMENT.encode_utf8(&mut [0; 4]));
    }
    text
}

// The recursion depth is limited by the JSON parser's nesting limit.
fn repaired_value(value: Value) -> Value {
    match value {
        Value::String(text) => repaired(text, MAX_METADATA_TEXT).into(),
        Value::Array(items) => items.into_iter().map(repaired_value).collect(),
        Value::Object(map) => {
            let repair = |(key, value)| (repaired(key, MAX_METADATA_TEXT), repaired_value(value));
            Value::Object(map.into_iter().map(repair).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}
