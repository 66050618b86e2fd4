//! Requests to a model, responses, and the provider trait.

use async_trait::async_trait;

use super::LlmError;
use crate::usage::Tokens;

/// A request to a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatRequest {
    /// The model. A router replaces it with its route's model.
    pub model: String,
    /// The system message.
    pub system: String,
    /// The user message.
    pub prompt: String,
    /// Most output tokens, reasoning included; at least 1.
    pub max_tokens: i64,
    /// Sampling temperature; at least 0.
    pub temperature: f64,
}

/// A model's response.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChatResponse {
    /// The model that responded.
    pub model: String,
    /// The text; empty if all output tokens were reasoning.
    pub text: String,
    /// The tokens that are charged.
    pub tokens: Tokens,
    /// The output tokens that were reasoning.
    pub reasoning_tokens: i64,
    /// Why the output ended, as the provider reports it: `stop`, `length`, …
    pub finish_reason: Option<String>,
    /// Whether the provider reported token usage. If not, the counts are 0 and the call is charged
    /// at its upper bound.
    pub usage_reported: bool,
}

/// A provider of models.
///
/// # Contract
/// - One call sends one request. The router is responsible for retries, limits and time-outs.
/// - An error contains no secret, and states what the call cost, if known
///   ([`Spent`](super::Spent)).
#[async_trait]
pub trait LlmProvider: Send + Sync {
    /// The provider's name in lower case, as in the price book, the caps and the ledger.
    fn name(&self) -> &str;

    /// Sends one request.
    ///
    /// # Errors
    /// The request failed; see [`LlmErrorKind`](super::LlmErrorKind) for the kinds of failure.
    ///
    /// # Cancel safety
    /// Dropping the future discards the response; the provider may still charge for it.
    async fn chat(&self, request: &ChatRequest) -> Result<ChatResponse, LlmError>;
}
