//! The upper bound of a request's cost, and how a degraded request is reduced.

use super::ChatRequest;
use crate::usage::{NanoUsd, Price, Tokens};

/// Tokens that a provider's chat template may add to two messages.
const TEMPLATE_TOKENS: i64 = 64;
/// The least `max_tokens` of a degraded request.
const MIN_TOKENS: i64 = 16;
const MAX_DEGRADED_TEMPERATURE: f64 = 0.5;

/// The most tokens that `request` can use. A byte is at most one token of input: tokenizers merge
/// bytes and never split one. The output ends at `max_tokens`.
pub(super) fn tokens(request: &ChatRequest) -> Tokens {
    let bytes = request.system.len().saturating_add(request.prompt.len());
    Tokens {
        input: i64::try_from(bytes).unwrap_or(i64::MAX).saturating_add(TEMPLATE_TOKENS),
        cached_input: 0,
        output: request.max_tokens.max(1),
    }
}

/// The most that these tokens can cost, whatever share of the input is cached.
pub(super) fn cost(uncached: Tokens, price: Price) -> NanoUsd {
    let cached = Tokens { cached_input: uncached.input, ..uncached };
    price.of(uncached).max(price.of(cached))
}

/// Reduces a request once the soft cap is reached: half the output tokens (but at least 16), and a
/// temperature of at most 0.5.
pub(super) fn degrade(request: &mut ChatRequest) {
    let half = (request.max_tokens / 2).max(MIN_TOKENS);
    request.max_tokens = half.min(request.max_tokens);
    request.temperature = request.temperature.min(MAX_DEGRADED_TEMPERATURE);
}
