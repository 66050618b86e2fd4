//! What a model is asked and what it answers.

use async_trait::async_trait;

use super::LlmError;
use crate::usage::Tokens;

/// A question to a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatRequest {
    /// The model asked for. A router puts its route's model here.
    pub model: String,
    /// What the model is to be.
    pub system: String,
    /// What it is asked.
    pub prompt: String,
    /// Output tokens allowed, reasoning included; at least 1.
    pub max_tokens: i64,
    /// Randomness, from 0.
    pub temperature: f64,
}

/// A model's answer.
///
/// Cached tokens are part of the input tokens and reasoning tokens part of the output tokens.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChatResponse {
    /// The model that answered.
    pub model: String,
    /// What it said; empty when it spent its tokens on reasoning.
    pub text: String,
    /// Tokens sent.
    pub input_tokens: i64,
    /// Those of the tokens sent that the provider had cached.
    pub cached_input_tokens: i64,
    /// Tokens received.
    pub output_tokens: i64,
    /// Those of the tokens received that were reasoning.
    pub reasoning_tokens: i64,
    /// Why it stopped, in the provider's word: `stop`, `length`, …
    pub finish_reason: Option<String>,
    /// Whether the provider said how many tokens it used. If not, the counts are 0 and the call is
    /// charged at its upper bound.
    pub usage_reported: bool,
}

impl ChatResponse {
    /// The tokens that are paid for.
    pub fn tokens(&self) -> Tokens {
        Tokens {
            input: self.input_tokens,
            cached_input: self.cached_input_tokens,
            output: self.output_tokens,
        }
    }
}

/// Something that answers.
///
/// # Contract
/// - One call is one request to the provider: retries, limits and time-outs of a whole call are the
///   router's.
/// - An error names no secret, and says what the call has cost as far as that is known
///   ([`Spent`](super::Spent)).
#[async_trait]
pub trait LlmProvider: Send + Sync {
    /// The provider's name in lower case, as the price book, the caps and the ledger know it.
    fn name(&self) -> &str;

    /// Asks once.
    ///
    /// # Errors
    /// Of the kinds of [`LlmErrorKind`](super::LlmErrorKind).
    ///
    /// # Cancel safety
    /// Dropping the future abandons the answer, not the cost.
    async fn chat(&self, request: &ChatRequest) -> Result<ChatResponse, LlmError>;
}
