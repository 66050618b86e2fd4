//! The decision of a turn: a model's action, or the use of the fallback rule.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use simops::{Error, Result};

use super::action::Action;

/// A decision, as the worker passes it from `decide` to `act`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "snake_case")]
pub(super) enum Decision {
    /// A model chose the action.
    Model { action: Action, calls: Calls },
    /// The fallback rule chooses the action when the turn is acted on.
    Rule { reason: String, calls: Option<Calls> },
}

/// The model calls of a decision; `provider` and `model` are those of the last call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Calls {
    pub(super) provider: String,
    pub(super) model: String,
    pub(super) calls: u32,
    pub(super) input_tokens: i64,
    pub(super) output_tokens: i64,
    /// Whether a call was degraded because the day's soft cap is reached.
    pub(super) degraded: bool,
    /// Why no model chose an action: the cap, the error type, or `no_action`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refused: Option<String>,
}

impl Decision {
    pub(super) fn rule(reason: impl Into<String>) -> Self {
        Self::Rule { reason: reason.into(), calls: None }
    }

    /// Reads a decision from JSON; anything else becomes a decision by the fallback rule.
    pub(super) fn read(value: Value) -> Self {
        serde_json::from_value(value).unwrap_or_else(|_| Self::rule("the decision cannot be read"))
    }

    pub(super) fn to_value(&self) -> Result<Value> {
        serde_json::to_value(self)
            .map_err(|error| Error::internal("the decision cannot be written").with_source(error))
    }
}
