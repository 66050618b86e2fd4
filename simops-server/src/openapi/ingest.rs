//! The description of the ingest of visitors' events, by hand: its handler reads a body of two
//! content types and two forms, which cannot be generated.

use serde_json::{Value, json};
use simops::kpi::{Kind, MAX_BATCH, MAX_LATE_DAYS};

use super::problem;

/// Its error responses. It needs no token and has no write gate.
const ERRORS: &[(&str, &str)] = &[
    ("403", "Ingest is disabled in this environment."),
    ("408", "The body did not arrive in time."),
    ("413", "The body is larger than 1 MiB."),
    ("415", "The body is neither JSON nor plain text."),
    ("422", "An event cannot be counted; `errors` names each field. Nothing was recorded."),
    ("429", "Too many requests from this address; see Retry-After."),
    ("503", "Overloaded, or the database is unavailable; see Retry-After. Nothing was recorded."),
];

/// The path.
pub(super) fn path() -> Value {
    let one = json!({ "$ref": "#/components/schemas/VisitorEvent" });
    let many = json!({ "type": "array", "items": one, "maxItems": MAX_BATCH });
    let body = json!({ "schema": { "oneOf": [one, many] } });
    let recorded = json!({ "$ref": "#/components/schemas/KpiRecorded" });
    let mut operation = json!({
        "tags": ["kpi"],
        "operationId": "post_kpi_events",
        "summary": "Records events of visitors, all or none. Needs no token; the rate per address is limited.",
        "description": "Plain text is read as JSON, because browsers' beacons send JSON as such. Texts \
                        are cut when they are too long, and control characters in them are replaced.",
        "security": [],
        "requestBody": {
            "required": true,
            "content": { "application/json": body, "text/plain": body },
        },
        "responses": { "200": {
            "description": "The events are durable.",
            "content": { "application/json": { "schema": recorded } },
        } },
    });
    for (status, description) in ERRORS {
        operation["responses"][status] = problem(description);
    }
    json!({ "post": operation })
}

/// The schema of an event.
pub(super) fn event() -> Value {
    let text =
        |description: &str| json!({ "type": ["string", "null"], "description": description });
    let late = format!("When it happened, at most {MAX_LATE_DAYS} days ago; now by default.");
    let uid = "Identifies the event: the same id counts once.";
    json!({
        "type": "object",
        "required": ["event_name", "visitor_id"],
        "properties": {
            "event_name": { "type": "string", "enum": Kind::NAMES },
            "visitor_id": { "type": "string", "minLength": 8, "maxLength": 128 },
            "session_id": text("The visit."),
            "run_id": text("The run that was viewed."),
            "event_id": {
                "type": ["string", "number", "null"],
                "description": "The event that was viewed.",
            },
            "surface": text("The part of the site."),
            "target": text("What was clicked or shared."),
            "path": text("The page."),
            "referrer": text("The page before."),
            "metadata": { "type": ["object", "null"], "description": "The first 20 keys are kept." },
            "occurred_at": { "type": ["string", "null"], "format": "date-time", "description": late },
            "event_uid": text(uid),
        },
    })
}
