//! The bodies of requests and responses.
//!
//! Parsing is lenient where providers differ (where they report usage, whether it includes reasoning,
//! how a stream ends), and strict otherwise: a response is valid only if it is marked as complete.

mod usage;

use serde::Deserialize;
use serde_json::{Value, json};

use super::status::{self, error_message, sanitize};
use crate::llm::{ChatRequest, ChatResponse, LlmError, LlmErrorKind, Spent};
use usage::Usage;

/// The data of the last event of a stream.
const DONE: &str = "[DONE]";

/// The body of a request. `request_usage`: whether the provider supports `stream_options`.
pub(super) fn request(request: &ChatRequest, stream: bool, request_usage: bool) -> Vec<u8> {
    let mut body = json!({
        "model": request.model,
        "messages": [
            { "role": "system", "content": request.system },
            { "role": "user", "content": request.prompt },
        ],
        "max_tokens": request.max_tokens.max(1),
        "temperature": request.temperature,
        "stream": stream,
    });
    if stream && request_usage {
        body["stream_options"] = json!({ "include_usage": true });
    }
    body.to_string().into_bytes()
}

#[derive(Deserialize)]
struct Chunk {
    model: Option<String>,
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    usage: Option<Value>,
    x_groq: Option<GroqExtra>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct GroqExtra {
    usage: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    /// In a whole response.
    message: Option<MessageBody>,
    /// In a chunk of a stream.
    delta: Option<MessageBody>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct MessageBody {
    content: Option<Content>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    /// Mistral's reasoning models send reasoning and text as separate parts.
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    text: Option<String>,
}

/// Builds a response from its body or from the events of a stream.
#[derive(Debug, Default)]
pub(super) struct ResponseBuilder {
    model: String,
    text: String,
    finish_reason: Option<String>,
    usage: Option<Usage>,
    has_message: bool,
    is_complete: bool,
}

/// Parses the body of a whole response.
///
/// # Errors
/// `InvalidResponse` if it is malformed, or the error that the body contains.
pub(super) fn response(bytes: &[u8]) -> Result<ChatResponse, LlmError> {
    let mut builder = ResponseBuilder::default();
    builder.add_json(bytes)?;
    // A body that parses is complete, whatever its finish reason.
    builder.is_complete = true;
    builder.finish()
}

impl ResponseBuilder {
    /// Whether the stream has sent its last event.
    pub(super) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Adds one event of a stream.
    ///
    /// # Errors
    /// `InvalidResponse` if the event is malformed, or the error that it contains.
    pub(super) fn add(&mut self, event: &str) -> Result<(), LlmError> {
        if event.trim() == DONE {
            self.is_complete = true;
            return Ok(());
        }
        self.add_json(event.as_bytes())
    }

    fn add_json(&mut self, bytes: &[u8]) -> Result<(), LlmError> {
        let chunk: Chunk = match serde_json::from_slice(bytes) {
            Ok(chunk) => chunk,
            // The parser's message may quote the response, so only the position is used.
            Err(error) => {
                let (line, column) = (error.line(), error.column());
                let detail = format!("the response is not a chat completion (at {line}:{column})");
                return Err(self.fail(LlmErrorKind::InvalidResponse, detail, None));
            }
        };
        let usage = chunk.usage.or_else(|| chunk.x_groq.and_then(|extra| extra.usage));
        self.usage = usage.and_then(Usage::read).or(self.usage.take());
        if let Some(model) = chunk.model.filter(|model| !model.is_empty()) {
            self.model = sanitize(&model);
        }
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            let code = error.get("code").and_then(Value::as_u64);
            let code = code.and_then(|code| u16::try_from(code).ok()).filter(|code| *code >= 400);
            let kind = code.map_or(LlmErrorKind::ServerError, status::kind);
            let message = error_message(error.to_string().as_bytes()).unwrap_or_default();
            return Err(self.fail(kind, format!("error in the response: {message}"), code));
        }
        for choice in chunk.choices.unwrap_or_default().into_iter().take(1) {
            self.has_message = true;
            let body = choice.message.or(choice.delta);
            match body.and_then(|body| body.content) {
                Some(Content::Text(text)) => self.text.push_str(&text),
                Some(Content::Parts(parts)) => {
                    parts.into_iter().filter_map(|p| p.text).for_each(|t| self.text.push_str(&t));
                }
                None => {}
            }
            let reason = choice.finish_reason.map(|reason| sanitize(&reason));
            self.finish_reason = reason.or(self.finish_reason.take());
        }
        Ok(())
    }

    /// The response.
    ///
    /// # Errors
    /// `InvalidResponse` if it has no message, or neither an end nor a finish reason.
    pub(super) fn finish(self) -> Result<ChatResponse, LlmError> {
        if !self.has_message {
            let detail = "the response contains no message".to_owned();
            let is_complete = self.is_complete;
            let error = self.fail(LlmErrorKind::InvalidResponse, detail, None);
            // The usage of a complete response is final.
            return Err(match error.spent {
                Spent::AtLeast(tokens) if is_complete => error.with_spent(Spent::Exactly(tokens)),
                _ => error,
            });
        }
        if !self.is_complete && self.finish_reason.is_none() {
            let detail = "the stream ended before the response was complete".to_owned();
            return Err(self.fail(LlmErrorKind::InvalidResponse, detail, None));
        }
        let usage = self.usage.unwrap_or_default();
        Ok(ChatResponse {
            model: self.model,
            text: self.text,
            tokens: usage.tokens,
            reasoning_tokens: usage.reasoning,
            finish_reason: self.finish_reason,
            usage_reported: self.usage.is_some(),
        })
    }

    /// The response of a connection that failed with `error`, if it was complete by then.
    pub(super) fn finish_after(self, error: LlmError) -> Result<ChatResponse, LlmError> {
        if self.has_message && self.finish_reason.is_some() {
            return self.finish();
        }
        Err(self.fail(error.kind, error.detail, None))
    }

    fn fail(&self, kind: LlmErrorKind, detail: String, code: Option<u16>) -> LlmError {
        let spent = match &self.usage {
            Some(usage) => Spent::AtLeast(usage.tokens),
            // An error instead of a message, as OpenRouter sends with status 200.
            None if !self.has_message && code.is_some_and(|c| !matches!(c, 504 | 524)) => {
                Spent::Nothing
            }
            None => Spent::Unknown,
        };
        LlmError::new(kind, detail).with_spent(spent)
    }
}
