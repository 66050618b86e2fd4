//! The configuration of models from environment variables, and the router built from it.

use std::sync::Arc;

use super::{BudgetReservation, ProviderConfig};
use crate::usage::{PriceBook, UnpricedPolicy};
use crate::{Error, Result};

/// The file that replaces the shipped price book.
pub(super) const PRICES: &str = "SIMOPS_PRICES";
/// What to do with a model that has no price.
pub(super) const UNPRICED: &str = "LLM_UNPRICED_POLICY";
/// How many dollars a call reserves.
pub(super) const RESERVATION: &str = "BUDGET_RESERVATION";
/// Whether responses are streamed.
pub(super) const STREAM: &str = "LLM_STREAM";

/// The providers of a deployment, and their prices.
#[derive(Debug, Clone)]
pub struct LlmConfig {
    /// The providers, in the order in which they are tried; empty: no models.
    pub providers: Vec<ProviderConfig>,
    /// Their prices.
    pub prices: Arc<PriceBook>,
    /// What to do with a model that has no price.
    pub unpriced: UnpricedPolicy,
    /// How many dollars a call reserves.
    pub reservation: BudgetReservation,
    /// Whether responses are streamed, so that a stalled provider is detected sooner.
    pub stream: bool,
}

impl LlmConfig {
    /// Reads the configuration from `lookup` (the environment): the variables of
    /// [`ProviderConfig::from_lookup`], `SIMOPS_PRICES`, `LLM_UNPRICED_POLICY`,
    /// `BUDGET_RESERVATION` and `LLM_STREAM`. An empty value counts as unset. Also reads the price file.
    ///
    /// # Errors
    /// `Invalid` with the name of the variable, its value unless it may contain a secret, and the
    /// allowed values.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let read = |name: &str| {
            let value = lookup(name).map(|value| value.trim().to_owned());
            value.filter(|value| !value.is_empty())
        };
        let prices = match read(PRICES) {
            Some(path) => read_prices(&path)?,
            None => PriceBook::shipped()?,
        };
        let unpriced = match read(UNPRICED).as_deref() {
            None => UnpricedPolicy::default(),
            Some(text) => UnpricedPolicy::parse(&text.to_ascii_lowercase())
                .ok_or_else(|| not_allowed(UNPRICED, text, "fallback or refuse"))?,
        };
        let reservation = match read(RESERVATION).as_deref() {
            None => BudgetReservation::default(),
            Some(text) => BudgetReservation::parse(&text.to_ascii_lowercase())
                .ok_or_else(|| not_allowed(RESERVATION, text, "learned or bound"))?,
        };
        let stream = read(STREAM).as_deref().map_or(Ok(false), parse_flag)?;
        let providers = ProviderConfig::from_lookup(lookup)?;
        Ok(Self { providers, prices: Arc::new(prices), unpriced, reservation, stream })
    }

    /// Builds the router, which counts with `counter` and bounds the agents of runs by those in
    /// `agents`; `None` without a provider.
    ///
    /// # Errors
    /// See [`OpenAi::new`](super::OpenAi::new).
    #[cfg(feature = "http")]
    pub fn router(
        &self,
        counter: Arc<dyn crate::usage::UsageCounter>,
        agents: Arc<dyn crate::store::AgentStore>,
        clock: Arc<dyn crate::Clock>,
    ) -> Result<Option<super::Router>> {
        if self.providers.is_empty() {
            return Ok(None);
        }
        let client = super::OpenAiOptions { stream: self.stream, ..Default::default() };
        let options = super::RouterOptions {
            unpriced: self.unpriced,
            reservation: self.reservation,
            ..Default::default()
        };
        let router = super::Router::builder(counter, Arc::clone(&self.prices), clock)
            .configured(&self.providers, client)?
            .options(options)
            .agents(Arc::new(crate::roster::AgentRoster::new(agents)))
            .build()?;
        for route in router.routes() {
            tracing::info!(%route, prices = self.prices.source, "model routing enabled");
        }
        Ok(Some(router))
    }
}

fn read_prices(path: &str) -> Result<PriceBook> {
    let invalid = |why: &str| {
        let allowed = "must be a price book in JSON, as in simops/src/usage/prices.json";
        Error::invalid(PRICES, format!("{path:?} cannot be used ({why}); {allowed}"))
    };
    let text = std::fs::read_to_string(path).map_err(|error| invalid(&error.to_string()))?;
    PriceBook::from_json(&text).map_err(|error| invalid(error.detail()))
}

fn parse_flag(text: &str) -> Result<bool> {
    text.to_ascii_lowercase().parse().map_err(|_| not_allowed(STREAM, text, "true or false"))
}

fn not_allowed(variable: &str, text: &str, allowed: &str) -> Error {
    Error::invalid(variable, format!("{text:?} is not allowed; must be {allowed}"))
}
