//! What a model is asked and what it answers.

use async_trait::async_trait;

use crate::Result;

/// A question to a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatRequest {
    /// The model asked for.
    pub model: String,
    /// What the model is to be.
    pub system: String,
    /// What it is asked.
    pub prompt: String,
    /// Output tokens allowed.
    pub max_tokens: i64,
    /// Randomness, from 0.
    pub temperature: f64,
}

/// A model's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatResponse {
    /// The model that answered.
    pub model: String,
    /// What it said.
    pub text: String,
    /// Tokens sent.
    pub input_tokens: i64,
    /// Tokens received.
    pub output_tokens: i64,
}

/// Something that answers.
#[async_trait]
pub trait LlmProvider: Send + Sync {
    /// The provider's name in lower case, as the ledger shows it.
    fn name(&self) -> &str;

    /// Asks once; no retry. Dropping the future abandons the answer, not the cost.
    ///
    /// # Errors
    /// `Unavailable` when another try may succeed, `Rejected` when it will not.
    async fn chat(&self, request: &ChatRequest) -> Result<ChatResponse>;
}
