//! The router: down an ordered chain of routes until one answers.
//!
//! Every attempt that is made is reserved before and leaves one row in the ledger. What it costs
//! when the provider does not say: nothing when it was refused or never arrived, the reserved upper
//! bound when a model may have run (a time-out, half an answer). A call that all breakers refuse
//! leaves one row of cost 0, `circuit_open`; an open breaker with another route behind it only
//! shows in that route's row, as `fallback_used`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::attempt::{Attempt, Ended, Leave};
use super::limits::Limits;
use super::route::{Lane, Route};
use super::till::Till;
use super::{
    BudgetRefusals, CallContext, CallError, ChatRequest, ChatResponse, LlmError, LlmErrorKind,
    LlmProvider, RouterOptions, bound,
};
use crate::clock::day_of;
use crate::settings::key;
use crate::usage::{Caps, Lease, NanoUsd, PriceBook, Quote, Refused, UsageCounter};
use crate::{Clock, Error, Result};

/// An ordered chain of routes. Clones share limits, breakers and unbooked rows.
#[derive(Clone)]
pub struct Router(Arc<Inner>);

struct Inner {
    routes: Vec<(Route, Arc<Lane>)>,
    till: Arc<Till>,
    prices: Arc<PriceBook>,
    refusals: Arc<BudgetRefusals>,
    options: RouterOptions,
}

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

/// An answer, and how it came.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The answer.
    pub response: ChatResponse,
    /// The route that answered.
    pub route: Route,
    /// What this attempt cost.
    pub cost: NanoUsd,
    /// Whether it was made smaller because the soft cap is reached.
    pub degraded: bool,
    /// Whether it was degraded or took a later route.
    pub fallback_used: bool,
    /// Attempts made, this one included.
    pub attempts: u32,
}

/// A route that the policy allows, and what the call costs there.
struct Candidate {
    route: Route,
    lane: Arc<Lane>,
    quote: Quote,
    bound: NanoUsd,
    later: bool,
}

/// A call on its way.
struct Call<'a> {
    context: &'a CallContext,
    request: &'a ChatRequest,
    deadline: Instant,
    attempts: u32,
}

impl RouterBuilder {
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
        Ok(Router(Arc::new(Inner {
            routes: routes.collect::<Result<_>>()?,
            till: Arc::new(Till::new(self.counter, self.clock, counter_timeout, max_unbooked)),
            prices: self.prices,
            refusals: self.refusals,
            options: self.options,
        })))
    }
}

impl Router {
    /// A router that counts with `counter`, prices by `prices` and dates by `clock`.
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
            options: RouterOptions::default(),
        }
    }

    /// Whether it has no route, so that every call is [`CallError::NoProvider`].
    pub fn is_empty(&self) -> bool {
        self.0.routes.is_empty()
    }

    /// Its routes in order.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.0.routes.iter().map(|(route, _)| route)
    }

    /// Runs whose calls the day's budget could not pay for.
    pub fn refusals(&self) -> &Arc<BudgetRefusals> {
        &self.0.refusals
    }

    /// Attempts that are reserved or under way. Zero after a gate has moved: none will begin.
    pub fn in_flight(&self) -> usize {
        self.0.till.in_flight()
    }

    /// Attempts that the ledger does not have yet, those under way included.
    pub fn unbooked(&self) -> usize {
        self.0.till.unbooked()
    }

    /// Waits until every attempt has ended and is in the ledger: before the process ends.
    ///
    /// # Errors
    /// How many were not after `patience`; their leases will expire into rows.
    pub async fn flush(&self, patience: Duration) -> Result<(), usize> {
        self.0.till.flush(patience).await
    }

    /// Asks route after route until one answers; the request's model is replaced by the route's.
    ///
    /// # Errors
    /// See [`CallError`]; it is the most telling of what went wrong on the routes: a failed attempt
    /// before a refusal by the caps before the rest.
    ///
    /// # Cancel safety
    /// A dropped call begins nothing more. An attempt under way goes on to its own time-out and is
    /// booked with its real figures; one not yet sent is released.
    pub async fn chat(
        &self,
        context: &CallContext,
        request: &ChatRequest,
    ) -> Result<Answer, CallError> {
        let patience = context.timeout.unwrap_or(self.0.options.call_timeout);
        let mut call = Call { context, request, deadline: Instant::now() + patience, attempts: 0 };
        let candidates = self.0.candidates(context, request)?;
        let mut worst: Option<(&Candidate, CallError)> = None;
        for candidate in &candidates {
            match self.0.follow(candidate, &mut call).await {
                Ok(answer) => return Ok(answer),
                Err(error @ (CallError::Overtaken | CallError::Uncounted(_))) => return Err(error),
                Err(error) => {
                    if worst.as_ref().is_none_or(|(_, worst)| tells_more(&error, worst)) {
                        worst = Some((candidate, error));
                    }
                }
            }
        }
        let Some((candidate, mut error)) = worst else { return Err(CallError::NoProvider) };
        if let CallError::CircuitOpen { .. } = &error {
            error = self.0.record_open(candidate, &mut call, error).await;
        }
        if let (
            CallError::Refused { reason: Refused::HardBudgetReached, retry_after: None },
            Some(run),
        ) = (&error, &context.run_id)
        {
            self.0.refusals.note(run, self.0.till.now());
        }
        Err(error)
    }
}

impl Inner {
    /// The routes that the price policy allows, in the order in which they are tried.
    fn candidates(
        &self,
        context: &CallContext,
        request: &ChatRequest,
    ) -> Result<Vec<Candidate>, CallError> {
        let day = day_of(self.till.now());
        let (mut candidates, mut unpriced) = (Vec::with_capacity(self.routes.len()), None);
        for (route, lane) in &self.routes {
            let (route, lane) = (route.clone(), Arc::clone(lane));
            match self.prices.quote(&route.provider, &route.model, day, self.options.unpriced) {
                Ok(quote) => {
                    let bound = bound::cost(request, quote.price);
                    candidates.push(Candidate { route, lane, quote, bound, later: false });
                }
                Err(error) => unpriced = unpriced.or(Some(error)),
            }
        }
        if context.settings.flag(key::FORCE_CHEAPEST_ROUTE) {
            candidates.sort_by_key(|candidate| candidate.bound);
        }
        candidates.iter_mut().skip(1).for_each(|candidate| candidate.later = true);
        match unpriced {
            Some(error) if candidates.is_empty() => {
                Err(CallError::Unpriced(error.detail().to_owned()))
            }
            _ => Ok(candidates),
        }
    }

    /// Tries one route, as often as its failures may be retried.
    async fn follow(
        &self,
        candidate: &Candidate,
        call: &mut Call<'_>,
    ) -> Result<Answer, CallError> {
        let Candidate { route, lane, .. } = candidate;
        let provider = || route.provider.clone();
        let mut failed = None;
        for made in 1.. {
            let open = |retry_after| CallError::CircuitOpen { provider: provider(), retry_after };
            if !call.context.is_current() {
                return Err(CallError::Overtaken);
            }
            if let Some(wait) = lane.circuit.closed_for() {
                return Err(failed.unwrap_or_else(|| open(wait)));
            }
            let entering = lane.gate.enter(lane.per_minute(call.context), call.deadline).await;
            let leave = match (entering, call.left().is_zero()) {
                (Ok(place), false) => match lane.circuit.enter() {
                    Ok(pass) => Leave::Ask(place, pass),
                    Err(wait) => return Err(failed.unwrap_or_else(|| open(wait))),
                },
                (entering, _) => {
                    let busy = CallError::Busy {
                        provider: provider(),
                        retry_after: entering.err().flatten(),
                    };
                    return Err(failed.unwrap_or(busy));
                }
            };
            let error = match self.attempt(candidate, call, leave).await {
                Ended::Answered { response, cost, degraded } => {
                    return Ok(Answer {
                        response,
                        route: route.clone(),
                        cost,
                        degraded,
                        fallback_used: degraded || candidate.later,
                        attempts: call.attempts,
                    });
                }
                Ended::Failed(error) => error,
                ended => return Err(ended.without_answer()),
            };
            let pause = self.options.retry.pause(made, &error, entropy(), call.left());
            failed = Some(CallError::Failed {
                provider: provider(),
                model: route.model.clone(),
                error: Box::new(error),
                attempts: call.attempts,
            });
            match pause {
                Some(pause) => sleep(pause).await,
                None => break,
            }
        }
        Err(failed.unwrap_or(CallError::NoProvider))
    }

    async fn attempt(&self, candidate: &Candidate, call: &mut Call<'_>, leave: Leave) -> Ended {
        let context = call.context;
        let timeout = self.options.attempt_timeout.min(call.left());
        let now = self.till.now();
        let lives = timeout.saturating_add(self.options.lease_margin);
        let lease = Lease {
            id: Uuid::now_v7(),
            day: day_of(now),
            run_id: context.run_id.clone(),
            agent_id: context.agent_id,
            checkpoint: context.checkpoint,
            provider: candidate.route.provider.clone(),
            model: candidate.route.model.clone(),
            upper_bound: candidate.bound,
            priced: candidate.quote.priced,
            created_at: now,
            expires_at: now.checked_add(lives).unwrap_or(now),
        };
        let request = ChatRequest { model: candidate.route.model.clone(), ..call.request.clone() };
        let attempt = Attempt {
            lane: Arc::clone(&candidate.lane),
            till: Arc::clone(&self.till),
            context: context.clone(),
            request,
            quote: candidate.quote,
            caps: Caps::of(&context.settings),
            lease,
            later_route: candidate.later,
            timeout,
        };
        let ended = attempt.run(leave).await;
        call.attempts += u32::from(matches!(ended, Ended::Answered { .. } | Ended::Failed(_)));
        ended
    }

    /// Records that all breakers refused the call; what the call ends with.
    async fn record_open(
        &self,
        candidate: &Candidate,
        call: &mut Call<'_>,
        open: CallError,
    ) -> CallError {
        let error = LlmError::unsent(LlmErrorKind::CircuitOpen, open.to_string());
        match self.attempt(candidate, call, Leave::Record(error)).await {
            Ended::Answered { .. } | Ended::Failed(_) => open,
            ended => ended.without_answer(),
        }
    }
}

impl Call<'_> {
    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

impl Ended {
    /// The error of an attempt that was not made.
    fn without_answer(self) -> CallError {
        match self {
            Self::Refused { reason, retry_after } => CallError::Refused { reason, retry_after },
            Self::Uncounted(why) => CallError::Uncounted(why),
            Self::Overtaken | Self::Answered { .. } | Self::Failed(_) => CallError::Overtaken,
        }
    }
}

/// Whether `new` says more about why a call failed than `old`, from an earlier route.
fn tells_more(new: &CallError, old: &CallError) -> bool {
    let weight = |error: &CallError| match error {
        CallError::Failed { .. } => 6,
        // Waiting helps.
        CallError::Refused { retry_after: Some(_), .. } => 5,
        CallError::Refused { reason: Refused::HardBudgetReached, .. } => 4,
        CallError::Refused { .. } => 3,
        CallError::CircuitOpen { .. } => 2,
        _ => 1,
    };
    let again = matches!((new, old), (CallError::Failed { .. }, CallError::Failed { .. }));
    again || weight(new) > weight(old)
}

/// 32 random bits: the end of a fresh id.
fn entropy() -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "the low bits are wanted")]
    let low = Uuid::now_v7().as_u128() as u32;
    low
}
