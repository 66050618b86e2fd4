//! Putting a router together.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::chain::Chain;
use super::limits::Limits;
use super::route::{Lane, Route};
use super::till::Till;
use super::{BudgetRefusals, LlmProvider, Router, RouterOptions};
use crate::usage::{PriceBook, UsageCounter};
use crate::{Clock, Error, Result};

/// What a router is made of.
pub struct RouterBuilder {
    counter: Arc<dyn UsageCounter>,
    prices: Arc<PriceBook>,
    clock: Arc<dyn Clock>,
    providers: Vec<(Arc<dyn LlmProvider>, Limits)>,
    routes: Vec<Route>,
    refusals: Arc<BudgetRefusals>,
    options: RouterOptions,
}

impl RouterBuilder {
    pub(super) fn new(
        counter: Arc<dyn UsageCounter>,
        prices: Arc<PriceBook>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            counter,
            prices,
            clock,
            providers: Vec::new(),
            routes: Vec::new(),
            refusals: Arc::default(),
            options: RouterOptions::default(),
        }
    }

    /// Adds a provider.
    #[must_use]
    pub fn provider(mut self, provider: Arc<dyn LlmProvider>, limits: Limits) -> Self {
        self.providers.push((provider, limits));
        self
    }

    /// Adds a route behind those added before.
    #[must_use]
    pub fn route(mut self, provider: impl Into<String>, model: impl Into<String>) -> Self {
        self.routes.push(Route { provider: provider.into(), model: model.into() });
        self
    }

    /// Adds each configured provider, and behind the routes added before one to its model.
    ///
    /// # Errors
    /// Of [`OpenAi::new`](super::OpenAi::new).
    #[cfg(feature = "http")]
    pub fn configured(
        self,
        configs: &[super::ProviderConfig],
        options: super::OpenAiOptions,
    ) -> Result<Self> {
        configs.iter().try_fold(self, |builder, config| {
            let provider = Arc::new(super::OpenAi::new(config, options)?);
            Ok(builder.provider(provider, Limits::default()).route(&config.name, &config.model))
        })
    }

    /// Notes refused runs in `refusals`, which others read.
    #[must_use]
    pub fn refusals(self, refusals: Arc<BudgetRefusals>) -> Self {
        Self { refusals, ..self }
    }

    /// Replaces the default patience.
    #[must_use]
    pub fn options(self, options: RouterOptions) -> Self {
        Self { options, ..self }
    }

    /// The router. Without a route it is empty and refuses every call.
    ///
    /// # Errors
    /// `Rejected` when a provider was added twice, or a route names one that was not added.
    pub fn build(self) -> Result<Router> {
        let mut lanes = BTreeMap::new();
        for (provider, limits) in self.providers {
            let name = provider.name().to_owned();
            let lane = Arc::new(Lane::new(provider, limits, self.options.breaker));
            if lanes.insert(name.clone(), lane).is_some() {
                return Err(Error::rejected(format!("the provider {name} was added twice")));
            }
        }
        let routes = self.routes.into_iter().map(|route| match lanes.get(&route.provider) {
            Some(lane) => Ok((route, Arc::clone(lane))),
            None => Err(Error::rejected(format!("the route {route} has no provider"))),
        });
        let RouterOptions { counter_timeout, max_unbooked, .. } = self.options;
        Ok(Router(Arc::new(Chain {
            routes: routes.collect::<Result<_>>()?,
            till: Arc::new(Till::new(self.counter, self.clock, counter_timeout, max_unbooked)),
            prices: self.prices,
            refusals: self.refusals,
            options: self.options,
        })))
    }
}
