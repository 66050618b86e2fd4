//! What a request costs at most, and how it is made smaller.

use super::ChatRequest;
use crate::usage::{NanoUsd, Price, Tokens};

/// Tokens that a provider's chat template may add around two messages.
const TEMPLATE_TOKENS: i64 = 64;
/// A degraded call is not made smaller than this.
const MIN_TOKENS: i64 = 16;
const MAX_DEGRADED_TEMPERATURE: f64 = 0.5;

/// The most tokens that `request` can use. A byte is at least a token of input: tokenizers merge
/// bytes, and never split one. The output ends at `max_tokens`.
pub fn tokens(request: &ChatRequest) -> Tokens {
    let bytes = request.system.len().saturating_add(request.prompt.len());
    Tokens {
        input: i64::try_from(bytes).unwrap_or(i64::MAX).saturating_add(TEMPLATE_TOKENS),
        cached_input: 0,
        output: request.max_tokens.max(1),
    }
}

/// The most that `request` can cost, however much of its input was cached.
pub fn cost(request: &ChatRequest, price: Price) -> NanoUsd {
    let fresh = tokens(request);
    let cached = Tokens { cached_input: fresh.input, ..fresh };
    price.of(fresh).max(price.of(cached))
}

/// The smaller request that is made once the soft cap is reached: half the output (not under 16),
/// at most 0.5 temperature.
pub fn degrade(request: &mut ChatRequest) {
    let half = (request.max_tokens / 2).max(MIN_TOKENS);
    request.max_tokens = half.min(request.max_tokens);
    request.temperature = request.temperature.min(MAX_DEGRADED_TEMPERATURE);
}
