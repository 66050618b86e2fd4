//! A provider that answers from a function of the request: the same question, the same answer.

use async_trait::async_trait;

use super::{ChatRequest, ChatResponse, LlmError, LlmProvider};
use crate::Result;

type Script = dyn Fn(&ChatRequest) -> Result<String> + Send + Sync;

/// A provider without a network, named `scripted`.
pub struct ScriptedProvider {
    name: String,
    script: Box<Script>,
}

impl ScriptedProvider {
    /// A provider that answers what `script` says.
    pub fn new(script: impl Fn(&ChatRequest) -> Result<String> + Send + Sync + 'static) -> Self {
        Self { name: "scripted".to_owned(), script: Box::new(script) }
    }

    /// The same provider under another name: one that the price book and the caps know.
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
        // Words stand for tokens: a script has no tokenizer.
        let count = |text: &str| i64::try_from(text.split_whitespace().count()).unwrap_or(i64::MAX);
        Ok(ChatResponse {
            model: request.model.clone(),
            input_tokens: count(&request.system) + count(&request.prompt),
            output_tokens: count(&text),
            finish_reason: Some("stop".to_owned()),
            usage_reported: true,
            text,
            ..ChatResponse::default()
        })
    }
}
