//! A route (a provider and a model), and the handle of a provider with its limits and breaker.

use std::fmt;
use std::sync::Arc;

use super::breaker::{BreakerPolicy, SharedBreaker};
use super::limits::{Limits, RateLimiter};
use super::{CallContext, ChatResponse, LlmProvider};
use crate::settings::key;
use crate::usage::NanoUsd;

/// The provider whose calls per minute are limited by a setting.
const OPENROUTER: &str = "openrouter";

/// A provider, and the model to request from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The provider's name.
    pub provider: String,
    /// The model.
    pub model: String,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.provider, self.model)
    }
}

/// A provider with its rate limiter and circuit breaker; all routes to the provider share it.
pub(super) struct ProviderHandle {
    pub(super) client: Arc<dyn LlmProvider>,
    pub(super) limiter: Arc<RateLimiter>,
    pub(super) breaker: Arc<SharedBreaker>,
}

impl ProviderHandle {
    pub(super) fn new(
        client: Arc<dyn LlmProvider>,
        limits: Limits,
        breaker: BreakerPolicy,
    ) -> Self {
        let breaker = Arc::new(SharedBreaker::new(breaker));
        Self { client, limiter: Arc::new(RateLimiter::new(limits)), breaker }
    }

    /// The calls per minute that the settings allow; `None` if no setting limits this provider.
    pub(super) fn per_minute(&self, context: &CallContext) -> Option<u32> {
        let limit = context.settings.int(key::OPENROUTER_RPM_LIMIT);
        let limit = u32::try_from(limit).ok().filter(|limit| *limit > 0);
        limit.filter(|_| self.client.name() == OPENROUTER)
    }
}

/// A response, with its route and cost.
#[derive(Debug, Clone, PartialEq)]
pub struct RoutedResponse {
    /// The response.
    pub response: ChatResponse,
    /// The route that responded.
    pub route: Route,
    /// The cost of the successful attempt.
    pub cost: NanoUsd,
    /// Whether the request was reduced because the soft cap is reached.
    pub degraded: bool,
    /// Whether the request was degraded or an earlier route was skipped or failed.
    pub fallback_used: bool,
    /// Attempts on all routes, the successful one included.
    pub attempts: u32,
}
