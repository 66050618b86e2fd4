//! What every operation has in common, added to the description generated from the handlers.

mod visits;

use axum::body::Bytes;
use serde_json::{Map, Value, json};
use simops::Error;

use crate::routes::KPI_EVENTS;

/// Refusals that any admin operation may answer with.
const COMMON: &[(&str, &str)] = &[
    ("401", "The token is missing or wrong."),
    ("403", "This address, or any write, is not allowed here."),
    ("404", "There is no such thing, or no admin API."),
    ("422", "Something in the request is out of its form; `errors` names it."),
    ("429", "Too many wrong tokens came from this address; see Retry-After."),
    ("500", "A defect of simops."),
    ("503", "The database is away, see Retry-After; or no token is configured."),
];
/// Refusals that only writes know.
const OF_WRITES: &[(&str, &str)] = &[
    ("400", "Well formed, but it cannot be granted."),
    ("408", "The body did not arrive in time."),
    ("409", "It conflicts with the current state."),
    ("413", "The body is larger than 1 MiB."),
    ("415", "The body is not JSON."),
];

/// The whole description, as JSON.
pub(crate) fn finish(generated: &utoipa::openapi::OpenApi) -> simops::Result<Bytes> {
    let unwritable = |error| Error::internal("the API has no description").with_source(error);
    let mut api = serde_json::to_value(generated).map_err(unwritable)?;
    api["info"] = json!({
        "title": "simops admin API",
        "version": simops::VERSION,
        "description": "Run control, settings, records and status of LLM-agent simulations.",
        "license": { "name": "MIT" },
    });
    api["components"]["securitySchemes"] = json!({
        "bearer": { "type": "http", "scheme": "bearer" },
        "header": { "type": "apiKey", "in": "header", "name": "X-Admin-Token" },
    });
    api["security"] = json!([{ "bearer": [] }, { "header": [] }]);
    for item in api["paths"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            complete(operation, method != "get");
        }
    }
    api["paths"][KPI_EVENTS] = visits::path();
    api["components"]["schemas"]["VisitorEvent"] = visits::event();
    Ok(serde_json::to_vec(&api).map_err(unwritable)?.into())
}

fn complete(operation: &mut Value, is_write: bool) {
    let of_writes = if is_write { OF_WRITES } else { &[] };
    for (status, description) in COMMON.iter().chain(of_writes) {
        operation["responses"][status] = problem(description);
    }
    let mut headers = vec![header("X-Admin-User", "Who acts; `admin` when absent.", 120)];
    if is_write {
        let about = "A name for this write: repeated with the same body, it gets the same answer.";
        headers.push(header("Idempotency-Key", about, 255));
        // Where every field is optional, so is the body.
        operation["requestBody"]["required"] = json!(requires_body(operation));
    }
    match operation["parameters"].as_array_mut() {
        Some(parameters) => parameters.extend(headers),
        None => operation["parameters"] = headers.into(),
    }
}

fn requires_body(operation: &Value) -> bool {
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
    let with_required_fields = ["StartRun", "SetRunMode", "PatchConfig"];
    let name = schema.as_str().and_then(|reference| reference.rsplit('/').next());
    name.is_some_and(|name| with_required_fields.contains(&name))
}

fn problem(description: &str) -> Value {
    json!({
        "description": description,
        "content": {
            "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } },
        },
    })
}

fn header(name: &str, description: &str, max: u32) -> Value {
    json!({
        "name": name,
        "in": "header",
        "description": description,
        "required": false,
        "schema": { "type": "string", "maxLength": max },
    })
}
