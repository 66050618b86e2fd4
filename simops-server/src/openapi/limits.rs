//! What the server accepts in parameters and bodies, from the constants that it checks them with.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use simops::digest::DigestStatus;
use simops::ops::MAXIMA;
use simops::run::{
    IDENTIFIERS, MAX_LABEL_NAME_CHARS, MAX_LABEL_VALUE_CHARS, MAX_LABELS, MAX_REASON_CHARS,
    MAX_SEASON_NUMBER, RunClass, RunMode,
};

/// Parameters of queries whose text is a time.
const TIMES: [&str; 3] = ["after", "until", "ended_at"];
/// Parameters of queries whose text is a date.
const DATES: [&str; 3] = ["first_day", "last_day", "anchor_date"];

/// Texts without control characters.
const NO_CONTROLS: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$";
/// Names without control and format characters. Classes such as `\p{Cf}` are unknown to many readers of
/// patterns, and so are those beyond U+FFFF.
pub(super) const NO_HIDDEN: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f\\u00ad\\u0600-\\u0605\\u061c\\u06dd\\u070f\
                                    \\u0890\\u0891\\u08e2\\u180e\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\
                                    \\ufeff\\ufff9-\\ufffb]*$";
/// Texts of several lines: LF, TAB and CRLF, but no other control characters and none that change the
/// direction of the text.
const PROSE: &str = "^(\\r\\n|[^\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f\\u061c\\u200e\\u200f\
                     \\u202a-\\u202e\\u2066-\\u2069])*$";
/// A position in a list; an empty one is its start.
const CURSOR: &str = "^([1-9][0-9]{0,18})?$";
/// A label's name and value; an empty one counts as absent.
const LABEL: &str = "^([A-Za-z0-9_-]{1,64}:.{1,120})?$";

/// Adds bounds, lengths, patterns and names to the parameters and bodies of a description.
pub(super) fn add(api: &mut Value) {
    let mut bodies = BTreeSet::new();
    for (path, item) in api["paths"].as_object_mut().into_iter().flatten() {
        for operation in item.as_object_mut().into_iter().flat_map(Map::values_mut) {
            let body =
                operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str();
            bodies.extend(body.and_then(|body| body.rsplit('/').next()).map(str::to_owned));
            let parameters = operation["parameters"].as_array_mut().into_iter().flatten();
            for parameter in parameters {
                let (name, place) = (parameter["name"].clone(), parameter["in"].clone());
                let name = name.as_str().unwrap_or_default();
                describe(name, &mut parameter["schema"]);
                let text = match (name, place.as_str().unwrap_or_default()) {
                    (name, "query") if TIMES.contains(&name) => json!({ "format": "date-time" }),
                    (name, "query") if DATES.contains(&name) => json!({ "format": "date" }),
                    ("status", "query") => json!({ "enum": DigestStatus::NAMES }),
                    ("head_hash", "query") => json!({ "pattern": "^[0-9a-f]{64}$" }),
                    ("offset", "query") => json!({ "minimum": 0 }),
                    ("head_id", "query") => json!({ "minimum": 1 }),
                    ("cursor", "query") => json!({ "pattern": CURSOR }),
                    ("label", "query") => json!({ "pattern": LABEL }),
                    ("format", "query") => json!({ "enum": ["json", "csv"] }),
                    ("since", "query") => json!({ "anyOf": [
                        { "format": "date-time" },
                        { "format": "date" },
                        // A duration before now.
                        { "pattern": "^[0-9]{1,4}[wdhm]$" },
                    ] }),
                    ("a" | "b", "query") => json!({ "minLength": 1, "pattern": NO_CONTROLS }),
                    (_, "query") if parameter["schema"]["type"] == "string" => {
                        json!({ "pattern": NO_CONTROLS })
                    }
                    ("id", "path") if path.contains("/kpi/") => json!({ "format": "uuid" }),
                    _ => continue,
                };
                merge(&mut parameter["schema"], &text);
                // An empty text counts as absent, whatever the form of others.
                if place == "query" && parameter["schema"]["type"] == "string" {
                    parameter["allowEmptyValue"] = json!(parameter["required"] != true);
                }
            }
        }
    }
    for body in bodies {
        let properties = &mut api["components"]["schemas"][&body]["properties"];
        for (name, schema) in properties.as_object_mut().into_iter().flatten() {
            describe(name, schema);
            describe_in_body(name, schema);
        }
    }
}

/// The bounds of a whole number, which are the same wherever it is given.
fn describe(name: &str, schema: &mut Value) {
    if let Some((_, max)) = MAXIMA.iter().find(|(known, _)| *known == name) {
        merge(schema, &json!({ "minimum": 1, "maximum": max }));
    }
}

fn describe_in_body(name: &str, schema: &mut Value) {
    let identifier = IDENTIFIERS.iter().find(|(known, _)| *known == name);
    let found = match (name, identifier) {
        // An empty text counts as absent.
        (_, Some((_, max))) => json!({ "maxLength": max, "pattern": "^[A-Za-z0-9_:-]*$" }),
        ("reason" | "deviation_reason", _) => {
            json!({ "maxLength": MAX_REASON_CHARS, "pattern": PROSE })
        }
        ("season_number", _) => json!({ "minimum": 0, "maximum": MAX_SEASON_NUMBER }),
        ("carryover_agent_count" | "fresh_agent_count", _) => json!({ "minimum": 0 }),
        ("labels", _) => json!({
            "maxProperties": MAX_LABELS,
            "propertyNames": { "pattern": format!("^[A-Za-z0-9_-]{{1,{MAX_LABEL_NAME_CHARS}}}$") },
            "additionalProperties": {
                "type": "string", "minLength": 1, "maxLength": MAX_LABEL_VALUE_CHARS,
            },
        }),
        ("until", _) => json!({ "format": "date-time" }),
        ("mode", _) => json!({ "enum": RunMode::NAMES }),
        ("run_class", _) => {
            let names = RunClass::NAMES.map(|name| json!(name));
            let names = [&names[..], &[Value::Null]].concat();
            json!({ "enum": names })
        }
        _ => return,
    };
    merge(schema, &found);
}

fn merge(schema: &mut Value, more: &Value) {
    for (key, value) in more.as_object().into_iter().flatten() {
        schema[key] = value.clone();
    }
}
