//! Visitor events: parsing and validation.

use std::fmt;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, ToSpan};
use serde::de::{DeserializeSeed, Error as _, SeqAccess, Visitor};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::fields::{EventObject, FieldChecker, RawEvent};
use super::steps::Kind;
use crate::clock::{day_of, truncate_to_micros};
use crate::{Error, FieldError, Result};

/// The maximum number of events in one request.
pub const MAX_BATCH: usize = 1_000;
/// How many days ago an event may have happened.
pub const MAX_LATE_DAYS: i64 = 90;
/// How far a visitor's clock may be ahead. Such an event counts as happening now.
const MAX_CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(10);
/// Events are no longer validated once this many field errors were found.
const MAX_FIELD_ERRORS: usize = 20;

/// A validated event.
#[derive(Debug, Clone, PartialEq)]
pub struct KpiEvent {
    /// Unique id, derived from the sender's `event_uid` or generated. An event with a known uid is
    /// not recorded again.
    pub uid: Uuid,
    /// What the visitor did.
    pub kind: Kind,
    /// The visitor's id, as sent.
    pub visitor_id: String,
    /// The hash of the visitor's id.
    pub visitor: Uuid,
    /// The sender's session.
    pub session_id: Option<String>,
    /// The run the event refers to.
    pub run_id: Option<String>,
    /// The event of the event log this event refers to.
    pub event_id: Option<String>,
    /// The part of the page where it happened.
    pub surface: Option<String>,
    /// The element that was clicked.
    pub target: Option<String>,
    /// The page's path.
    pub path: Option<String>,
    /// The page the visitor came from.
    pub referrer: Option<String>,
    /// Further details.
    pub metadata: Option<Map<String, Value>>,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// When the server received it.
    pub received_at: Timestamp,
}

impl KpiEvent {
    /// Creates an event with a new uid that was received when it happened.
    pub fn new(kind: Kind, visitor_id: impl Into<String>, at: Timestamp) -> Self {
        let visitor_id = visitor_id.into();
        Self {
            uid: Uuid::now_v7(),
            kind,
            visitor: hash_key(&visitor_id),
            visitor_id,
            session_id: None,
            run_id: None,
            event_id: None,
            surface: None,
            target: None,
            path: None,
            referrer: None,
            metadata: None,
            occurred_at: at,
            received_at: at,
        }
    }

    /// The UTC day for which the event counts.
    pub fn day(&self) -> Date {
        day_of(self.occurred_at)
    }
}

/// The first 128 bits of the SHA-256 hash of `text`.
pub fn hash_key(text: &str) -> Uuid {
    let digest = Sha256::digest(text.as_bytes());
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(digest).for_each(|(byte, of)| *byte = of);
    Uuid::from_bytes(bytes)
}

/// The uid for an `event_uid`. A UUID in its canonical spelling is used as it is, because time-ordered
/// UUIDs keep the index fast; any other text is hashed.
fn uid_from(text: &str) -> Uuid {
    match Uuid::try_parse(text) {
        Ok(uuid) if uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == text => uuid,
        _ => hash_key(text),
    }
}

/// Parses a request body: one event, or an array of at most [`MAX_BATCH`] events.
///
/// # Errors
/// Returns `Invalid` if an event cannot be counted. Each invalid field is named: `visitor_id`, or
/// `[3].visitor_id` in an array. No event is returned in that case. Free text is repaired instead:
/// control characters are replaced, and what is too long is cut.
pub fn parse(body: &[u8], now: Timestamp) -> Result<Vec<KpiEvent>> {
    parse_strict(body, now).or_else(|error| match repaired_encoding(body) {
        Some(body) => parse_strict(&body, now),
        None => Err(error),
    })
}

fn parse_strict(body: &[u8], now: Timestamp) -> Result<Vec<KpiEvent>> {
    let mut errors = Vec::new();
    let events = if body.trim_ascii_start().first() == Some(&b'[') {
        let mut reader = serde_json::Deserializer::from_slice(body);
        let batch = EventArray { now, errors: &mut errors };
        let events = batch.deserialize(&mut reader).and_then(|events| {
            reader.end()?;
            Ok(events)
        });
        events.map_err(|error| malformed_body(&error))?
    } else {
        let EventObject(raw) =
            serde_json::from_slice(body).map_err(|error| malformed_body(&error))?;
        check(raw, now, &mut FieldChecker { errors: &mut errors }).into_iter().collect()
    };
    if errors.is_empty() { Ok(events) } else { Err(Error::invalid_fields(errors)) }
}

/// Parses one event from a JSON object. The uid is derived from `default_uid` if the object has no
/// `event_uid`.
///
/// # Errors
/// Returns `Invalid`, with each invalid field, if the text is not a valid event.
pub fn parse_one(text: &[u8], default_uid: &str, now: Timestamp) -> Result<KpiEvent> {
    let mut errors = Vec::new();
    let EventObject(raw) = serde_json::from_slice(text)
        .map_err(|error| Error::invalid("event", format!("must be a JSON object: {error}")))?;
    let has_uid = raw.event_uid.as_str().is_some_and(|uid| !uid.trim().is_empty());
    let event = check(raw, now, &mut FieldChecker { errors: &mut errors });
    let Some(mut event) = event else { return Err(Error::invalid_fields(errors)) };
    if !has_uid {
        event.uid = hash_key(default_uid);
    }
    Ok(event)
}

/// The body with invalid UTF-8 and halves of surrogate pairs replaced; `None` if it has neither. A page
/// that cuts a text within an emoji sends such a half, as an escape sequence.
fn repaired_encoding(body: &[u8]) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(body);
    let mut repaired = String::with_capacity(text.len());
    let mut rest = &*text;
    while let Some(at) = rest.find('\\') {
        repaired.push_str(rest.get(..at)?);
        rest = rest.get(at..)?;
        let length = match (surrogate(rest), rest.get(6..).and_then(surrogate)) {
            (None, _) => 1 + rest.chars().nth(1).map_or(0, char::len_utf8),
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
            (Some(_), _) => {
                repaired.push_str("\\ufffd");
                rest = rest.get(6..)?;
                continue;
            }
        };
        repaired.push_str(rest.get(..length)?);
        rest = rest.get(length..)?;
    }
    repaired.push_str(rest);
    (repaired.as_bytes() != body).then(|| repaired.into_bytes())
}

/// The half of a surrogate pair whose escape sequence `text` begins with.
fn surrogate(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    let unit = u16::from_str_radix(digits, 16).ok()?;
    (0xD800..=0xDFFF).contains(&unit).then_some(unit)
}

fn malformed_body(error: &serde_json::Error) -> Error {
    let message = format!("must be one event or an array of up to {MAX_BATCH} as JSON: {error}");
    Error::invalid("body", message)
}

/// Deserialises an array of events one element at a time, to limit memory use.
struct EventArray<'a> {
    now: Timestamp,
    errors: &'a mut Vec<FieldError>,
}

impl<'de> DeserializeSeed<'de> for EventArray<'_> {
    type Value = Vec<KpiEvent>;

    fn deserialize<D: serde::Deserializer<'de>>(
        self,
        reader: D,
    ) -> std::result::Result<Self::Value, D::Error> {
        reader.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for EventArray<'_> {
    type Value = Vec<KpiEvent>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(
        self,
        mut items: A,
    ) -> std::result::Result<Self::Value, A::Error> {
        let mut events = Vec::new();
        for index in 0.. {
            let Some(EventObject(raw)) = items.next_element::<EventObject>()? else { break };
            if index >= MAX_BATCH {
                return Err(A::Error::custom(format_args!("more than {MAX_BATCH} events")));
            }
            if self.errors.len() < MAX_FIELD_ERRORS {
                let checked = self.errors.len();
                let mut checker = FieldChecker { errors: &mut *self.errors };
                events.extend(check(raw, self.now, &mut checker));
                for error in self.errors.iter_mut().skip(checked) {
                    error.field = format!("[{index}].{}", error.field);
                }
            }
        }
        Ok(events)
    }
}

/// Validates `raw` as an event received at `now`. Returns `None` and reports the errors to the
/// checker if a field is invalid.
fn check(raw: RawEvent, now: Timestamp, checker: &mut FieldChecker<'_>) -> Option<KpiEvent> {
    let errors_before = checker.errors.len();
    let kind = kind(&raw.event_name, checker);
    let visitor_id = checker.strict_text("visitor_id", raw.visitor_id, 128);
    // A type error of the field has already been reported.
    let already_reported =
        checker.errors.last().is_some_and(|error| error.field.ends_with("visitor_id"));
    if !already_reported && visitor_id.as_ref().is_none_or(|id| id.trim().chars().count() < 8) {
        checker.fail("visitor_id", "must have 8 to 128 characters");
    }
    let occurred_at = checker.time("occurred_at", raw.occurred_at);
    let occurred_at = occurred_at.map_or(now, |at| effective_time(at, now, checker));
    // Its hash is stored, so any text will do.
    let event_uid = checker.text("event_uid", raw.event_uid);
    let visitor_id = visitor_id.unwrap_or_default().trim().to_owned();
    let event = KpiEvent {
        uid: event_uid.map_or_else(Uuid::now_v7, |text| uid_from(&text)),
        kind: kind.unwrap_or(Kind::LandingView),
        visitor: hash_key(&visitor_id),
        visitor_id,
        session_id: checker.free_text("session_id", raw.session_id, 128),
        run_id: checker.free_text("run_id", raw.run_id, 128),
        event_id: checker.text_or_number("event_id", raw.event_id, 128),
        surface: checker.free_text("surface", raw.surface, 128),
        target: checker.free_text("target", raw.target, 512),
        path: checker.free_text("path", raw.path, 2_048),
        referrer: checker.free_text("referrer", raw.referrer, 2_048),
        metadata: checker.metadata(raw.metadata),
        occurred_at,
        received_at: now,
    };
    (checker.errors.len() == errors_before).then_some(event)
}

fn kind(name: &Value, checker: &mut FieldChecker<'_>) -> Option<Kind> {
    let known = name.as_str().and_then(Kind::parse_lenient);
    if known.is_none() {
        checker.fail("event_name", format!("must be one of {}", Kind::NAMES.join(", ")));
    }
    known
}

/// The time at which the event counts as having happened.
fn effective_time(at: Timestamp, now: Timestamp, checker: &mut FieldChecker<'_>) -> Timestamp {
    let today = day_of(now);
    let first = today.checked_sub(MAX_LATE_DAYS.days()).unwrap_or(today);
    if day_of(at) < first {
        let message = format!("must be at most {MAX_LATE_DAYS} days ago");
        checker.fail("occurred_at", message);
    } else if at.duration_since(now) > MAX_CLOCK_SKEW {
        checker.fail("occurred_at", "must not be in the future");
    }
    truncate_to_micros(at.min(now))
}
