//! A provider whose responses are a function of the request.

use async_trait::async_trait;

use super::{ChatRequest, ChatResponse, LlmError, LlmProvider};
use crate::Result;
use crate::usage::Tokens;

type Script = dyn Fn(&ChatRequest) -> Result<String> + Send + Sync;

/// A provider that needs no network, named `scripted`. The same request gives the same response.
pub struct ScriptedProvider {
    name: String,
    script: Box<Script>,
}

impl ScriptedProvider {
    /// A provider that responds with the result of `script`.
    pub fn new(script: impl Fn(&ChatRequest) -> Result<String> + Send + Sync + 'static) -> Self {
        Self { name: "scripted".to_owned(), script: Box::new(script) }
    }

    /// Sets the provider's name, for example to one that the price book lists.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }
}

#[async_trait]
impl LlmProvider for ScriptedProvider {
    fn name(&self) -> &str {
        &self.name
    }

    async fn chat(&self, request: &ChatRequest) -> Result<ChatResponse, LlmError> {
        let text = (self.script)(request)?;
        // Each word counts as one token.
        let count = |text: &str| i64::try_from(text.split_whitespace().count()).unwrap_or(i64::MAX);
        Ok(ChatResponse {
            model: request.model.clone(),
            tokens: Tokens {
                input: count(&request.system) + count(&request.prompt),
                cached_input: 0,
                output: count(&text),
            },
            finish_reason: Some("stop".to_owned()),
            usage_reported: true,
            text,
            ..ChatResponse::default()
        })
    }
}
