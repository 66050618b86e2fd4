//! Builds a [`Router`].

use std::collections::BTreeMap;
use std::sync::Arc;

use super::call_ledger::CallLedger;
use super::limits::Limits;
use super::route::{ProviderHandle, Route};
use super::routing::RouterInner;
use super::waiting::Waiting;
use super::{BudgetRefusals, LlmProvider, Router, RouterOptions};
use crate::roster::AgentRoster;
use crate::usage::{PriceBook, UsageCounter};
use crate::{Clock, Error, Result};

impl Router {
    /// Builds a router that counts with `counter`, takes prices from `prices` and the time from
    /// `clock`.
    pub fn builder(
        counter: Arc<dyn UsageCounter>,
        prices: Arc<PriceBook>,
        clock: Arc<dyn Clock>,
    ) -> RouterBuilder {
        RouterBuilder {
            counter,
            prices,
            clock,
            providers: Vec::new(),
            routes: Vec::new(),
            refusals: Arc::default(),
            agents: None,
            options: RouterOptions::default(),
        }
    }
}

/// Builds a [`Router`]; see [`Router::builder`].
pub struct RouterBuilder {
    counter: Arc<dyn UsageCounter>,
    prices: Arc<PriceBook>,
    clock: Arc<dyn Clock>,
    providers: Vec<(Arc<dyn LlmProvider>, Limits)>,
    routes: Vec<Route>,
    refusals: Arc<BudgetRefusals>,
    agents: Option<Arc<AgentRoster>>,
    options: RouterOptions,
}

impl RouterBuilder {
    /// Adds a provider.
    #[must_use]
    pub fn provider(mut self, provider: Arc<dyn LlmProvider>, limits: Limits) -> Self {
        self.providers.push((provider, limits));
        self
    }

    /// Adds a route, tried after those added before.
    #[must_use]
    pub fn route(mut self, provider: impl Into<String>, model: impl Into<String>) -> Self {
        self.routes.push(Route { provider: provider.into(), model: model.into() });
        self
    }

    /// Adds each configured provider, and a route to its model after the routes added before.
    ///
    /// # Errors
    /// See [`OpenAi::new`](super::OpenAi::new).
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

    /// Records refused runs in `refusals`, which the stop conditions read.
    #[must_use]
    pub fn refusals(self, refusals: Arc<BudgetRefusals>) -> Self {
        Self { refusals, ..self }
    }

    /// Bounds the agents of each run under which calls are recorded. Without it they are not bounded.
    #[must_use]
    pub fn agents(self, roster: Arc<AgentRoster>) -> Self {
        Self { agents: Some(roster), ..self }
    }

    /// Replaces the default time-outs and policies.
    #[must_use]
    pub fn options(self, options: RouterOptions) -> Self {
        Self { options, ..self }
    }

    /// Builds the router. A router without routes refuses every call.
    ///
    /// # Errors
    /// `Rejected` if a provider was added twice, or a route names a provider that was not added.
    pub fn build(self) -> Result<Router> {
        let mut handles = BTreeMap::new();
        for (provider, limits) in self.providers {
            let name = provider.name().to_owned();
            let handle = ProviderHandle::new(provider, limits, self.options.breaker);
            if handles.insert(name.clone(), Arc::new(handle)).is_some() {
                return Err(Error::rejected(format!("the provider {name} was added twice")));
            }
        }
        let routes = self.routes.into_iter().map(|route| match handles.get(&route.provider) {
            Some(handle) => Ok((route, Arc::clone(handle), Arc::default())),
            None => Err(Error::rejected(format!("the route {route} has no provider"))),
        });
        let RouterOptions { counter_timeout, max_pending, .. } = self.options;
        Ok(Router(Arc::new(RouterInner {
            routes: routes.collect::<Result<_>>()?,
            ledger: Arc::new(CallLedger::new(
                self.counter,
                self.clock,
                counter_timeout,
                max_pending,
            )),
            prices: self.prices,
            refusals: self.refusals,
            waiting: Waiting::default(),
            agents: self.agents,
            options: self.options,
        })))
    }
}
