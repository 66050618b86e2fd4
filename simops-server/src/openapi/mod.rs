//! Completes the generated OpenAPI description with what all operations share.

mod ingest;
mod limits;

use axum::body::Bytes;
use serde_json::{Value, json};
use simops::Error;

use crate::ingest::KPI_EVENTS;

/// Error responses of every admin operation.
const COMMON: &[(&str, &str)] = &[
    ("401", "The token is missing or wrong."),
    ("403", "This address, or writing, is not allowed."),
    ("404", "The resource does not exist, or the admin API is disabled."),
    ("422", "A field is invalid; `errors` names it."),
    ("429", "Too many wrong tokens from this address; see Retry-After."),
    ("500", "An internal error."),
    ("503", "The database is unavailable, see Retry-After; or no token is configured."),
];
/// Further error responses of writes.
const OF_WRITES: &[(&str, &str)] = &[
    ("400", "The request is well-formed but cannot be granted."),
    ("408", "The body did not arrive in time."),
    ("409", "The request conflicts with the current state."),
    ("413", "The body is larger than 1 MiB."),
    ("415", "The body is not JSON."),
];

/// The whole description, as JSON.
pub(crate) fn finish(generated: &utoipa::openapi::OpenApi) -> simops::Result<Bytes> {
    let unwritable =
        |error| Error::internal("the OpenAPI description cannot be written").with_source(error);
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
    for (path, item) in api["paths"].as_object_mut().into_iter().flatten() {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            operation["operationId"] = json!(operation_id(method, path));
            complete(operation, method != "get");
        }
    }
    limits::add(&mut api);
    api["paths"][KPI_EVENTS] = ingest::path();
    api["components"]["schemas"]["VisitorEvent"] = ingest::event();
    Ok(serde_json::to_vec(&api).map_err(unwritable)?.into())
}

/// The unique name of an operation: `get_runs_run_id` for `GET /api/admin/runs/{run_id}`.
fn operation_id(method: &str, path: &str) -> String {
    let below = path.trim_start_matches("/api/admin").replace(['{', '}'], "");
    format!("{method}{}", below.replace(['/', '-'], "_"))
}

fn complete(operation: &mut Value, is_write: bool) {
    let of_writes = if is_write { OF_WRITES } else { &[] };
    for (status, description) in COMMON.iter().chain(of_writes) {
        operation["responses"][status] = problem(description);
    }
    let about = "The actor's name; `admin` by default. What is longer than 120 characters is cut.";
    let name = json!({ "type": "string", "pattern": limits::NO_HIDDEN });
    let mut headers = vec![header("X-Admin-User", about, &name)];
    if is_write {
        let about =
            "Identifies this write: repeated with the same body, it returns the first response.";
        let key = json!({ "type": "string", "pattern": "^[!-~]{1,255}$" });
        headers.push(header("Idempotency-Key", about, &key));
        // The body is optional if every field is.
        operation["requestBody"]["required"] = json!(requires_body(operation));
    }
    match operation["parameters"].as_array_mut() {
        Some(parameters) => parameters.extend(headers),
        None => operation["parameters"] = headers.into(),
    }
}

/// An error response in the description of an operation.
fn problem(description: &str) -> Value {
    json!({
        "description": description,
        "content": {
            "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } },
        },
    })
}

fn requires_body(operation: &Value) -> bool {
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
    let with_required_fields = ["StartRun", "SetRunMode", "PatchConfig"];
    let name = schema.as_str().and_then(|reference| reference.rsplit('/').next());
    name.is_some_and(|name| with_required_fields.contains(&name))
}

fn header(name: &str, description: &str, schema: &Value) -> Value {
    json!({
        "name": name,
        "in": "header",
        "description": description,
        "required": false,
        "schema": schema,
    })
}
