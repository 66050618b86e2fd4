//! An event of a visitor: what may be sent, and what is kept of it.

use std::fmt;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, ToSpan};
use serde::de::{DeserializeSeed, Error as _, SeqAccess, Visitor};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::fields::{Check, Object, Raw};
use super::steps::Kind;
use crate::clock::{day_of, whole_micros};
use crate::{Error, FieldError, Result};

/// Most events sent at once.
pub const MAX_BATCH: usize = 1_000;
/// So many days back an event may lie.
pub const MAX_LATE_DAYS: i64 = 90;
/// A visitor's clock may be ahead by so much; the event then counts as of now.
const MAX_EARLY: SignedDuration = SignedDuration::from_mins(10);
/// What is wrong with more events than these is not listed.
const MAX_FIELD_ERRORS: usize = 20;

/// An event in form.
#[derive(Debug, Clone, PartialEq)]
pub struct KpiEvent {
    /// Recorded once however often it is sent: made of the sender's `event_uid`, or fresh.
    pub uid: Uuid,
    /// What the visitor did.
    pub kind: Kind,
    /// Who, in the sender's words.
    pub visitor_id: String,
    /// Who, as a key.
    pub visitor: Uuid,
    /// The sender's session.
    pub session_id: Option<String>,
    /// The run it was about.
    pub run_id: Option<String>,
    /// The event of the log it was about.
    pub event_id: Option<String>,
    /// The part of the page.
    pub surface: Option<String>,
    /// What was clicked.
    pub target: Option<String>,
    /// The page's path.
    pub path: Option<String>,
    /// Where the visitor came from.
    pub referrer: Option<String>,
    /// Anything else.
    pub metadata: Option<Map<String, Value>>,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// When it arrived.
    pub received_at: Timestamp,
}

impl KpiEvent {
    /// What a visitor did, received when it happened, with a fresh uid and nothing more.
    pub fn new(kind: Kind, visitor_id: impl Into<String>, at: Timestamp) -> Self {
        let visitor_id = visitor_id.into();
        Self {
            uid: Uuid::now_v7(),
            kind,
            visitor: key_of(&visitor_id),
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

    /// The day it counts for.
    pub fn day(&self) -> Date {
        day_of(self.occurred_at)
    }
}

/// The key of a text: a digest of 128 bits.
pub fn key_of(text: &str) -> Uuid {
    let digest = Sha256::digest(text.as_bytes());
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(digest).for_each(|(byte, of)| *byte = of);
    Uuid::from_bytes(bytes)
}

/// The uid of an `event_uid`. One that is a UUID in its usual spelling stays itself, because those
/// that carry a time are found faster in its order.
fn uid_of(text: &str) -> Uuid {
    match Uuid::try_parse(text) {
        Ok(uuid) if uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == text => uuid,
        _ => key_of(text),
    }
}

/// The events of a body: one event, or an array of up to [`MAX_BATCH`]; all of them in form.
///
/// # Errors
/// `Invalid`, naming each field out of its form: `visitor_id`, or `[3].visitor_id` in an array.
pub fn parse(body: &[u8], now: Timestamp) -> Result<Vec<KpiEvent>> {
    let mut wrong = Vec::new();
    let events = if body.trim_ascii_start().first() == Some(&b'[') {
        let mut reader = serde_json::Deserializer::from_slice(body);
        let batch = Batch { now, wrong: &mut wrong };
        let events = batch.deserialize(&mut reader).and_then(|events| {
            reader.end()?;
            Ok(events)
        });
        events.map_err(|error| unreadable(&error))?
    } else {
        let Object(raw) = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
        check(raw, now, &mut Check { prefix: "", wrong: &mut wrong }).into_iter().collect()
    };
    if wrong.is_empty() { Ok(events) } else { Err(Error::invalid_fields(wrong)) }
}

/// One event of a JSON object. `default_uid` stands for an `event_uid` that it does not have.
///
/// # Errors
/// As [`parse`].
pub fn parse_one(text: &[u8], default_uid: &str, now: Timestamp) -> Result<KpiEvent> {
    let mut wrong = Vec::new();
    let Object(raw) = serde_json::from_slice(text)
        .map_err(|error| Error::invalid("event", format!("must be a JSON object: {error}")))?;
    let has_uid = raw.event_uid.as_str().is_some_and(|uid| !uid.trim().is_empty());
    let event = check(raw, now, &mut Check { prefix: "", wrong: &mut wrong });
    let Some(mut event) = event else { return Err(Error::invalid_fields(wrong)) };
    if !has_uid {
        event.uid = key_of(default_uid);
    }
    Ok(event)
}

fn unreadable(error: &serde_json::Error) -> Error {
    let message = format!("must be one event or an array of up to {MAX_BATCH} as JSON: {error}");
    Error::invalid("body", message)
}

/// Reads an array of events one by one, so that a long one takes no memory.
struct Batch<'a> {
    now: Timestamp,
    wrong: &'a mut Vec<FieldError>,
}

impl<'de> DeserializeSeed<'de> for Batch<'_> {
    type Value = Vec<KpiEvent>;

    fn deserialize<D: serde::Deserializer<'de>>(
        self,
        reader: D,
    ) -> std::result::Result<Self::Value, D::Error> {
        reader.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Batch<'_> {
    type Value = Vec<KpiEvent>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(
        self,
        mut items: A,
    ) -> std::result::Result<Self::Value, A::Error> {
        let mut events = Vec::new();
        for place in 0.. {
            let Some(Object(raw)) = items.next_element::<Object>()? else { break };
            if place >= MAX_BATCH {
                return Err(A::Error::custom(format_args!("more than {MAX_BATCH} events")));
            }
            if self.wrong.len() < MAX_FIELD_ERRORS {
                let checked = self.wrong.len();
                let mut check_one = Check { prefix: "", wrong: &mut *self.wrong };
                events.extend(check(raw, self.now, &mut check_one));
                for error in self.wrong.iter_mut().skip(checked) {
                    error.field = format!("[{place}].{}", error.field);
                }
            }
        }
        Ok(events)
    }
}

/// `raw` as an event that arrives `now`; `None` when something is wrong with it.
fn check(raw: Raw, now: Timestamp, check: &mut Check<'_>) -> Option<KpiEvent> {
    let already_wrong = check.wrong.len();
    let kind = kind(&raw.event_name, check);
    let visitor_id = check.text("visitor_id", raw.visitor_id, 128);
    // What is wrong with it has been said.
    let said = check.wrong.last().is_some_and(|error| error.field.ends_with("visitor_id"));
    if !said && visitor_id.as_ref().is_none_or(|id| id.trim().chars().count() < 8) {
        check.fail("visitor_id", "must have 8 to 128 characters");
    }
    let occurred_at = check.time("occurred_at", raw.occurred_at);
    let occurred_at = occurred_at.map_or(now, |at| when(at, now, check));
    let event_uid = check.text("event_uid", raw.event_uid, 128);
    let visitor_id = visitor_id.unwrap_or_default().trim().to_owned();
    let event = KpiEvent {
        uid: event_uid.map_or_else(Uuid::now_v7, |text| uid_of(&text)),
        kind: kind.unwrap_or(Kind::LandingView),
        visitor: key_of(&visitor_id),
        visitor_id,
        session_id: check.text("session_id", raw.session_id, 128),
        run_id: check.text("run_id", raw.run_id, 128),
        event_id: check.text_or_number("event_id", raw.event_id, 128),
        surface: check.text("surface", raw.surface, 128),
        target: check.text("target", raw.target, 512),
        path: check.text("path", raw.path, 2_048),
        referrer: check.text("referrer", raw.referrer, 2_048),
        metadata: check.metadata(raw.metadata),
        occurred_at,
        received_at: now,
    };
    (check.wrong.len() == already_wrong).then_some(event)
}

fn kind(name: &Value, check: &mut Check<'_>) -> Option<Kind> {
    let known = name.as_str().and_then(Kind::parse);
    if known.is_none() {
        let all: Vec<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        check.fail("event_name", format!("must be one of {}", all.join(", ")));
    }
    known
}

/// When the event counts as having happened.
fn when(at: Timestamp, now: Timestamp, check: &mut Check<'_>) -> Timestamp {
    let today = day_of(now);
    let first = today.checked_sub(MAX_LATE_DAYS.days()).unwrap_or(today);
    if day_of(at) < first {
        let message = format!("must be at most {MAX_LATE_DAYS} days ago");
        check.fail("occurred_at", message);
    } else if at.duration_since(now) > MAX_EARLY {
        check.fail("occurred_at", "must not be in the future");
    }
    whole_micros(at.min(now))
}
