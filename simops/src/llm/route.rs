//! A route: a provider and a model; and the provider with its limits and its breaker.

use std::fmt;
use std::sync::Arc;

use super::breaker::{BreakerPolicy, Circuit};
use super::limits::{Gate, Limits};
use super::{CallContext, LlmProvider};
use crate::settings::key;

/// The provider whose calls per minute are a setting.
const OPENROUTER: &str = "openrouter";

/// A provider and the model it is asked for.
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

/// A provider with what stands before it.
pub(super) struct Lane {
    pub(super) provider: Arc<dyn LlmProvider>,
    pub(super) gate: Arc<Gate>,
    pub(super) circuit: Arc<Circuit>,
}

impl Lane {
    pub(super) fn new(
        provider: Arc<dyn LlmProvider>,
        limits: Limits,
        breaker: BreakerPolicy,
    ) -> Self {
        let circuit = Arc::new(Circuit::new(breaker));
        Self { provider, gate: Arc::new(Gate::new(limits)), circuit }
    }

    /// The calls per minute that the settings allow, where they say so.
    pub(super) fn per_minute(&self, context: &CallContext) -> Option<u32> {
        let limit = context.settings.int(key::OPENROUTER_RPM_LIMIT);
        let limit = u32::try_from(limit).ok().filter(|limit| *limit > 0);
        limit.filter(|_| self.provider.name() == OPENROUTER)
    }
}
