//! Token usage, normalised over the formats of providers.

use serde::Deserialize;
use serde_json::Value;

use crate::usage::Tokens;

/// A higher count is treated as invalid.
const MAX_COUNT: i64 = 100_000_000;

/// The token usage of a response.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usage {
    /// The tokens that are charged.
    pub(super) tokens: Tokens,
    /// The output tokens that were reasoning.
    pub(super) reasoning: i64,
}

#[derive(Deserialize)]
struct Reported {
    prompt_tokens: Option<i64>,
    completion_tokens: Option<i64>,
    total_tokens: Option<i64>,
    prompt_tokens_details: Option<Details>,
    completion_tokens_details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    cached_tokens: Option<i64>,
    reasoning_tokens: Option<i64>,
}

impl Usage {
    /// Parses a usage object. `None` if it is invalid: such a usage counts as not reported, and the
    /// response stays valid.
    pub(super) fn read(value: Value) -> Option<Self> {
        let reported: Reported = serde_json::from_value(value).ok()?;
        let count = |count: Option<i64>| match count.unwrap_or(0) {
            count @ 0..=MAX_COUNT => Some(count),
            _ => None,
        };
        let input = count(reported.prompt_tokens)?;
        let completion = count(reported.completion_tokens)?;
        let total = count(reported.total_tokens)?;
        let cached = reported.prompt_tokens_details.and_then(|details| details.cached_tokens);
        let reasoning =
            reported.completion_tokens_details.and_then(|details| details.reasoning_tokens);
        let (cached, reasoning) = (count(cached)?, count(reasoning)?);
        // Gemini and others count reasoning in the total but not in the completion, so everything
        // in the total beyond the prompt is output.
        let output = completion.max(total - input).max(reasoning);
        let tokens = Tokens { input, cached_input: cached.min(input), output };
        let usage = Self { tokens, reasoning: reasoning.max(output - completion) };
        (input > 0 || output > 0).then_some(usage)
    }
}
