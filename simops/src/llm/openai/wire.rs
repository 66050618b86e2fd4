//! The bodies of requests and answers.
//!
//! Answers are read with tolerance where providers differ (where usage stands, whether reasoning is
//! counted in, how a stream ends) and without where it matters: an answer counts only when the
//! provider says that it is complete.

mod usage;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::status;
use crate::llm::{ChatRequest, ChatResponse, LlmError, LlmErrorKind, Spent};
use usage::Usage;

/// The last event of a stream.
const DONE: &str = "[DONE]";
/// Characters of a provider's words that are shown.
const SHOWN: usize = 200;

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    messages: [Message<'a>; 2],
    max_tokens: i64,
    temperature: f64,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

/// The body of a request. `ask_usage`: whether the provider knows `stream_options`.
pub(super) fn request(request: &ChatRequest, stream: bool, ask_usage: bool) -> Vec<u8> {
    let body = Request {
        model: &request.model,
        messages: [
            Message { role: "system", content: &request.system },
            Message { role: "user", content: &request.prompt },
        ],
        max_tokens: request.max_tokens.max(1),
        temperature: request.temperature,
        stream,
        stream_options: (stream && ask_usage).then_some(StreamOptions { include_usage: true }),
    };
    // Texts and numbers always have a spelling.
    serde_json::to_vec(&body).unwrap_or_default()
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
    /// In an answer.
    message: Option<Said>,
    /// In a piece of a stream.
    delta: Option<Said>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Said {
    content: Option<Content>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    /// Mistral's reasoning models: thoughts and text in parts.
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    text: Option<String>,
}

/// An answer as it comes together.
#[derive(Debug, Default)]
pub(super) struct Collected {
    model: String,
    text: String,
    finish_reason: Option<String>,
    usage: Option<Usage>,
    begun: bool,
    done: bool,
}

/// The answer in the body of a response.
///
/// # Errors
/// `InvalidResponse`, or what the provider says went wrong.
pub(super) fn answer(bytes: &[u8]) -> Result<ChatResponse, LlmError> {
    let mut collected = Collected::default();
    collected.add_json(bytes)?;
    // A body that parses is whole, whatever its finish reason.
    collected.done = true;
    collected.finish()
}

/// What the body of an error says, cut short and without control characters.
pub(super) fn error_message(body: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(body).ok()?;
    // Gemini wraps its error in a list.
    let value = value.get(0).unwrap_or(&value);
    let error = value.get("error").unwrap_or(value);
    let message = error.get("message").unwrap_or(error);
    let text = message.as_str().map_or_else(|| message.to_string(), str::to_owned);
    Some(shown(&text)).filter(|text| !text.is_empty())
}

fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN).collect()
}

impl Collected {
    /// Whether the stream said its last word.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// Takes one event of a stream.
    ///
    /// # Errors
    /// `InvalidResponse`, or what the provider says went wrong half way.
    pub(super) fn add(&mut self, event: &str) -> Result<(), LlmError> {
        if event.trim() == DONE {
            self.done = true;
            return Ok(());
        }
        self.add_json(event.as_bytes())
    }

    fn add_json(&mut self, bytes: &[u8]) -> Result<(), LlmError> {
        let chunk: Chunk = match serde_json::from_slice(bytes) {
            Ok(chunk) => chunk,
            // The parser's own words may quote the answer.
            Err(error) => {
                let (line, column) = (error.line(), error.column());
                let detail = format!("the answer is no chat completion (at {line}:{column})");
                return Err(self.fail(LlmErrorKind::InvalidResponse, detail, None));
            }
        };
        let usage = chunk.usage.or_else(|| chunk.x_groq.and_then(|extra| extra.usage));
        self.usage = usage.and_then(Usage::read).or(self.usage.take());
        if let Some(model) = chunk.model.filter(|model| !model.is_empty()) {
            self.model = shown(&model);
        }
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            let code = error.get("code").and_then(Value::as_u64);
            let code = code.and_then(|code| u16::try_from(code).ok()).filter(|code| *code >= 400);
            let kind = code.map_or(LlmErrorKind::ServerError, status::kind);
            let message = error_message(error.to_string().as_bytes()).unwrap_or_default();
            return Err(self.fail(kind, format!("error in the answer: {message}"), code));
        }
        for choice in chunk.choices.unwrap_or_default().into_iter().take(1) {
            self.begun = true;
            let said = choice.message.or(choice.delta).and_then(|said| said.content);
            match said {
                Some(Content::Text(text)) => self.text.push_str(&text),
                Some(Content::Parts(parts)) => {
                    parts.into_iter().filter_map(|p| p.text).for_each(|t| self.text.push_str(&t));
                }
                None => {}
            }
            let reason = choice.finish_reason.map(|reason| shown(&reason));
            self.finish_reason = reason.or(self.finish_reason.take());
        }
        Ok(())
    }

    /// The answer, if it is complete: it ended, or said why it stopped.
    pub(super) fn finish(self) -> Result<ChatResponse, LlmError> {
        if !self.begun {
            let detail = "the answer holds no message".to_owned();
            let whole = self.done;
            let error = self.fail(LlmErrorKind::InvalidResponse, detail, None);
            // A whole answer's usage is final.
            return Err(match error.spent {
                Spent::AtLeast(tokens) if whole => error.with_spent(Spent::Exactly(tokens)),
                _ => error,
            });
        }
        if !self.done && self.finish_reason.is_none() {
            let detail = "the stream ended half way through the answer".to_owned();
            return Err(self.fail(LlmErrorKind::InvalidResponse, detail, None));
        }
        let usage = self.usage.unwrap_or_default();
        let tokens = usage.tokens();
        Ok(ChatResponse {
            model: self.model,
            text: self.text,
            input_tokens: tokens.input,
            cached_input_tokens: tokens.cached_input,
            output_tokens: tokens.output,
            reasoning_tokens: usage.reasoning(),
            finish_reason: self.finish_reason,
            usage_reported: self.usage.is_some(),
        })
    }

    /// What to make of a connection that broke: the answer, if it had all come.
    pub(super) fn broken(self, broken: LlmError) -> Result<ChatResponse, LlmError> {
        if self.begun && self.finish_reason.is_some() {
            return self.finish();
        }
        Err(self.fail(broken.kind, broken.detail, None))
    }

    fn fail(&self, kind: LlmErrorKind, detail: String, code: Option<u16>) -> LlmError {
        let spent = match &self.usage {
            Some(usage) => Spent::AtLeast(usage.tokens()),
            // An error in place of an answer, as OpenRouter sends with status 200.
            None if !self.begun && code.is_some_and(|c| !matches!(c, 504 | 524)) => Spent::Nothing,
            None => Spent::Unknown,
        };
        LlmError::new(kind, detail).with_spent(spent)
    }
}
