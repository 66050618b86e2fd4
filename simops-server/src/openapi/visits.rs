//! The public door for visitors' events. Its handler reads a body of two types and two forms, which no
//! description generated from it would tell.

use serde_json::{Value, json};
use simops::kpi::{Kind, MAX_BATCH, MAX_LATE_DAYS};

use super::problem;

/// Refusals of its own; it knows neither token nor write gate.
const REFUSALS: &[(&str, &str)] = &[
    ("403", "Events are not taken in this environment."),
    ("408", "The body did not arrive in time."),
    ("413", "The body is larger than 1 MiB."),
    ("415", "The body is neither JSON nor plain text."),
    ("422", "An event is out of its form; `errors` names each field. Nothing was taken."),
    ("429", "Too many requests came from this address; see Retry-After."),
    ("503", "Too many events wait, or the database is away; see Retry-After. Nothing was taken."),
];

/// The path's description.
pub(super) fn path() -> Value {
    let one = json!({ "$ref": "#/components/schemas/VisitorEvent" });
    let many = json!({ "type": "array", "items": one, "maxItems": MAX_BATCH });
    let body = json!({ "schema": { "oneOf": [one, many] } });
    let taken = json!({ "$ref": "#/components/schemas/KpiRecorded" });
    let mut operation = json!({
        "tags": ["kpi"],
        "operationId": "record",
        "summary": "Takes events of visitors, all or none. Public: no token, but a limit per address.",
        "description": "Plain text is taken for JSON, as browsers' beacons send it.",
        "security": [],
        "requestBody": {
            "required": true,
            "content": { "application/json": body, "text/plain": body },
        },
        "responses": { "200": {
            "description": "They are durable.",
            "content": { "application/json": { "schema": taken } },
        } },
    });
    for (status, description) in REFUSALS {
        operation["responses"][status] = problem(description);
    }
    json!({ "post": operation })
}

/// An event, as it is sent.
pub(super) fn event() -> Value {
    let text =
        |description: &str| json!({ "type": ["string", "null"], "description": description });
    let late = format!("When it happened; now when absent, at most {MAX_LATE_DAYS} days ago.");
    let uid = "A name of the event: the same one again counts once.";
    json!({
        "type": "object",
        "required": ["event_name", "visitor_id"],
        "properties": {
            "event_name": { "type": "string", "enum": Kind::ALL.map(Kind::as_str) },
            "visitor_id": { "type": "string", "minLength": 8, "maxLength": 128 },
            "session_id": text("The visit."),
            "run_id": text("The run that was looked at."),
            "event_id": text("The event that was looked at."),
            "surface": text("Which part of the site."),
            "target": text("What was clicked or shared."),
            "path": text("The page."),
            "referrer": text("The page before."),
            "metadata": { "type": ["object", "null"], "maxProperties": 20 },
            "occurred_at": { "type": ["string", "null"], "format": "date-time", "description": late },
            "event_uid": text(uid),
        },
    })
}
