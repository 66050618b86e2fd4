//! Error responses.

use serde_json::{Value, json};

/// An error response in the description of an operation.
pub(super) fn problem(description: &str) -> Value {
    json!({
        "description": description,
        "content": {
            "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } },
        },
    })
}
