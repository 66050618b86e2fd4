//! The router's algorithm: attempts and pauses on one route, then the next route.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

use super::attempt::{Attempt, AttemptOutcome, Candidate, ProviderPermits, record_unsent};
use super::call_ledger::CallLedger;
use super::reservation::RecentCalls;
use super::route::{ProviderHandle, Route};
use super::waiting::{PlaceUntilAdmitted, Waited, Waiting};
use super::{
    BudgetRefusals, BudgetReservation, CallContext, CallError, ChatRequest, LlmErrorKind, Refusal,
    RefusedCall, RoutedResponse, RouterOptions, bound,
};
use crate::clock::day_of;
use crate::roster::AgentRoster;
use crate::settings::key;
use crate::usage::{Amounts, Caps, Lease, PriceBook, Refused};

/// An attempt begins only while at least this, or half of the call's time-out, is left: a request
/// that cannot finish in time would only cost money.
const MIN_ATTEMPT: Duration = Duration::from_secs(1);
/// How often a call that waits for room in a budget looks for what other processes have freed.
const ROOM_POLL: Duration = Duration::from_millis(100);
/// The longest time-out of a call.
const MAX_CALL_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// The state that a router's clones share.
pub(super) struct RouterInner {
    pub(super) routes: Vec<(Route, Arc<ProviderHandle>, Arc<RecentCalls>)>,
    pub(super) ledger: Arc<CallLedger>,
    pub(super) prices: Arc<PriceBook>,
    pub(super) refusals: Arc<BudgetRefusals>,
    pub(super) options: RouterOptions,
    pub(super) waiting: Waiting,
    pub(super) agents: Option<Arc<AgentRoster>>,
}

/// A call in progress.
struct Call<'a> {
    context: &'a CallContext,
    request: &'a ChatRequest,
    /// No attempt begins after this.
    begin_by: Instant,
    deadline: Instant,
    /// Routes that are not exhausted.
    routes_left: u32,
    attempts: u32,
    /// Its place among the calls that wait for room in a budget, until it is admitted.
    place: PlaceUntilAdmitted,
}

impl RouterInner {
    /// See [`Router::chat`](super::Router::chat).
    pub(super) async fn chat(
        &self,
        context: &CallContext,
        request: &ChatRequest,
    ) -> Result<RoutedResponse, CallError> {
        let candidates = self.candidates(context, request)?;
        let timeout = context.timeout.unwrap_or(self.options.call_timeout).min(MAX_CALL_TIMEOUT);
        let deadline = Instant::now() + timeout;
        let begin_by = deadline - MIN_ATTEMPT.min(timeout / 2);
        let routes_left = u32::try_from(candidates.len()).unwrap_or(u32::MAX);
        let place = PlaceUntilAdmitted::default();
        let mut call =
            Call { context, request, begin_by, deadline, routes_left, attempts: 0, place };
        let ahead = self.waiting.ahead(|of| counts(of, context));
        let mut place = ahead.map(|of| self.waiting.join(&of));
        loop {
            if let Some(place) = &mut place
                && !place.turn(begin_by, || context.is_current()).await
            {
                return Err(match context.is_current() {
                    true => place.of().clone().refusal(),
                    false => CallError::Cancelled,
                });
            }
            let mut room = pin!(self.ledger.room());
            room.as_mut().enable();
            call.routes_left = routes_left;
            // An admission gives the place to the next.
            call.place.put(place.take());
            let outcome = self.try_routes(&candidates, &mut call).await;
            let waits = Instant::now() < begin_by && context.is_current();
            let refused = outcome.as_ref().err().and_then(Waited::of).filter(|_| waits);
            let Some(of) = refused else { return outcome };
            place = call.place.take();
            match &place {
                // First in the queue: calls in flight make room, here or in another process.
                Some(place) if *place.of() == of => {
                    let _ = timeout_at(begin_by.min(Instant::now() + ROOM_POLL), room).await;
                }
                _ => place = Some(self.waiting.join(&of)),
            }
        }
    }

    /// Tries each route once, until one succeeds.
    async fn try_routes(
        &self,
        candidates: &[Candidate],
        call: &mut Call<'_>,
    ) -> Result<RoutedResponse, CallError> {
        let (context, request) = (call.context, call.request);
        let mut failure: Option<(&Candidate, CallError)> = None;
        let mut refused = Vec::new();
        for candidate in candidates {
            let result = self.try_route(candidate, call).await;
            call.routes_left = call.routes_left.saturating_sub(1);
            match result {
                Ok(response) => return Ok(response),
                Err(error @ (CallError::Cancelled | CallError::CounterUnavailable(_))) => {
                    return Err(error);
                }
                Err(error) => {
                    if let Some(budget) = spent_budget(&error) {
                        let needed = candidate.reserves(request);
                        refused.push(RefusedCall { budget: Arc::clone(budget), needed });
                    }
                    if failure.as_ref().is_none_or(|(_, old)| takes_precedence(&error, old)) {
                        failure = Some((candidate, error));
                    }
                }
            }
        }
        let Some((candidate, mut error)) = failure else { return Err(CallError::NoProvider) };
        if let CallError::CircuitOpen { .. } = &error {
            error = self.record_circuit_open(candidate, call, error).await;
        }
        if let Some(run) = &context.run_id
            && spent_budget(&error).is_some()
            && context.is_current()
        {
            self.refusals.record(run, Refusal { at: self.ledger.now(), calls: refused });
        }
        Err(error)
    }

    /// The routes that the price policy allows, in the order in which they are tried.
    fn candidates(
        &self,
        context: &CallContext,
        request: &ChatRequest,
    ) -> Result<Vec<Candidate>, CallError> {
        let day = day_of(self.ledger.now());
        let (mut candidates, mut unpriced) = (Vec::with_capacity(self.routes.len()), None);
        let bound = bound::tokens(request);
        for (route, provider, recent) in &self.routes {
            let (route, provider, recent) =
                (route.clone(), Arc::clone(provider), Arc::clone(recent));
            match self.prices.quote(&route.provider, &route.model, day, self.options.unpriced) {
                Ok(quote) => {
                    let reserved = match self.options.reservation {
                        BudgetReservation::Learned => recent.tokens(bound),
                        BudgetReservation::Bound => bound,
                    };
                    candidates.push(Candidate {
                        route,
                        provider,
                        recent,
                        quote,
                        upper_bound: bound::cost(bound, quote.price),
                        reserved: bound::cost(reserved, quote.price),
                        is_fallback: false,
                    });
                }
                Err(error) => unpriced = unpriced.or(Some(error)),
            }
        }
        if context.settings.flag(key::FORCE_CHEAPEST_ROUTE) {
            candidates.sort_by_key(|candidate| candidate.upper_bound);
        }
        candidates.iter_mut().skip(1).for_each(|candidate| candidate.is_fallback = true);
        match unpriced {
            Some(error) if candidates.is_empty() => {
                Err(CallError::Unpriced(error.detail().to_owned()))
            }
            _ => Ok(candidates),
        }
    }

    /// Tries one route until it succeeds or may not be retried.
    async fn try_route(
        &self,
        candidate: &Candidate,
        call: &mut Call<'_>,
    ) -> Result<RoutedResponse, CallError> {
        let route = &candidate.route;
        let wait_until = call.wait_until();
        let mut failed = None;
        for made in 1.. {
            if !call.context.is_current() {
                return Err(CallError::Cancelled);
            }
            let permits = match candidate.admit(call, wait_until).await {
                Ok(permits) => permits,
                Err(error) => return Err(failed.unwrap_or(error)),
            };
            let error = match self.attempt(candidate, call, permits).await {
                AttemptOutcome::Succeeded { response, cost, degraded } => {
                    return Ok(RoutedResponse {
                        response,
                        route: route.clone(),
                        cost,
                        degraded,
                        fallback_used: degraded || candidate.is_fallback,
                        attempts: call.attempts,
                    });
                }
                AttemptOutcome::Failed(error) => error,
                AttemptOutcome::NotMade(CallError::Refused { .. }) if failed.is_some() => break,
                AttemptOutcome::NotMade(error) => return Err(error),
            };
            let left = wait_until.saturating_duration_since(Instant::now());
            let pause = self.options.retry.pause(made, &error, entropy(), left);
            failed = Some(CallError::Failed {
                provider: route.provider.clone(),
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

    async fn attempt(
        &self,
        candidate: &Candidate,
        call: &mut Call<'_>,
        permits: ProviderPermits,
    ) -> AttemptOutcome {
        let context = call.context;
        let left = call.deadline.saturating_duration_since(Instant::now());
        let timeout = self.options.attempt_timeout.min(left);
        let lease = self.lease(candidate, call, timeout);
        let request = ChatRequest { model: candidate.route.model.clone(), ..call.request.clone() };
        let attempt = Attempt {
            candidate: candidate.clone(),
            ledger: Arc::clone(&self.ledger),
            context: context.clone(),
            request,
            lease,
            timeout,
            place: call.place.clone(),
        };
        let outcome = attempt.run(permits).await;
        call.attempts += u32::from(!matches!(outcome, AttemptOutcome::NotMade(_)));
        outcome
    }

    /// What a call reserves whose attempt ends after `timeout`.
    fn lease(&self, candidate: &Candidate, call: &Call<'_>, timeout: Duration) -> Lease {
        let (context, now) = (call.context, self.ledger.now());
        let tokens = bound::tokens(call.request);
        let lifetime = timeout.saturating_add(self.options.lease_margin);
        Lease {
            id: Uuid::now_v7(),
            day: day_of(now),
            run_id: context.run_id.clone(),
            agent_id: context.agent_id.clone(),
            checkpoint: context.checkpoint,
            provider: candidate.route.provider.clone(),
            model: candidate.route.model.clone(),
            upper_bound: candidate.reserved,
            input_tokens: tokens.input,
            output_tokens: tokens.output,
            priced: candidate.quote.priced,
            created_at: now,
            expires_at: now.checked_add(lifetime).unwrap_or(now),
        }
    }

    /// Records in the ledger that all circuit breakers refused the call, and returns its error.
    async fn record_circuit_open(
        &self,
        candidate: &Candidate,
        call: &Call<'_>,
        open: CallError,
    ) -> CallError {
        if !call.context.is_current() {
            return CallError::Cancelled;
        }
        let lease = self.lease(candidate, call, Duration::ZERO);
        let recorded = record_unsent(&self.ledger, &lease, LlmErrorKind::CircuitOpen).await;
        recorded.err().unwrap_or(open)
    }
}

impl Candidate {
    /// What the call reserves here.
    fn reserves(&self, request: &ChatRequest) -> Amounts {
        let tokens = bound::tokens(request);
        let tokens = tokens.input.saturating_add(tokens.output);
        Amounts { calls: 1, tokens, cost: self.reserved }
    }

    /// Waits until the provider's breaker and limits admit an attempt, at most until `wait_until`.
    async fn admit(
        &self,
        call: &Call<'_>,
        wait_until: Instant,
    ) -> Result<ProviderPermits, CallError> {
        let ProviderHandle { limiter, breaker, .. } = &*self.provider;
        let provider = || self.route.provider.clone();
        let open = |retry_after| CallError::CircuitOpen { provider: provider(), retry_after };
        if let Some(wait) = breaker.retry_after() {
            return Err(open(wait));
        }
        let rate = limiter.acquire(self.provider.per_minute(call.context), wait_until).await;
        match rate {
            Ok(rate) if Instant::now() <= call.begin_by => {
                let breaker = breaker.try_acquire().map_err(open)?;
                Ok(ProviderPermits { rate, breaker })
            }
            rate => {
                let retry_after = rate.err().flatten();
                Err(CallError::Busy { provider: provider(), retry_after })
            }
        }
    }
}

impl Call<'_> {
    /// How long the call may wait on the current route: an equal share of the remaining time, so
    /// that a busy route leaves time for those after it.
    fn wait_until(&self) -> Instant {
        let now = Instant::now();
        now + self.begin_by.saturating_duration_since(now) / self.routes_left.max(1)
    }
}

/// Whether a call of this context certainly counts towards what others wait for: a cap of the deployment
/// counts all calls, and a use of a budget that names the run counts the calls of the run.
fn counts(waited: &Waited, context: &CallContext) -> bool {
    let [dollars, .., total] = Caps::IDS;
    let names = |run_id: &String| waited.place.split(' ').any(|word| word == run_id);
    [dollars, total].contains(&&*waited.budget) || context.run_id.as_ref().is_some_and(names)
}

/// The budget of which less is left than the call needs, calls in flight not counted. Caps on calls are
/// none: they end no run.
fn spent_budget(error: &CallError) -> Option<&Arc<str>> {
    match error {
        CallError::Refused {
            reason: Refused::HardBudgetReached | Refused::BudgetReached,
            budget,
            retry_after: None,
            ..
        } => Some(budget),
        _ => None,
    }
}

/// Whether the call reports `new` instead of `old`, the error of an earlier route.
fn takes_precedence(new: &CallError, old: &CallError) -> bool {
    let weight = |error: &CallError| match error {
        CallError::Failed { .. } => 6,
        // Retryable, so more useful than a final refusal.
        CallError::Refused { retry_after: Some(_), .. } => 5,
        CallError::Refused { reason: Refused::HardBudgetReached, .. } => 4,
        CallError::Refused { .. } => 3,
        CallError::CircuitOpen { .. } => 2,
        _ => 1,
    };
    let both_failed = matches!((new, old), (CallError::Failed { .. }, CallError::Failed { .. }));
    both_failed || weight(new) > weight(old)
}

/// 32 random bits, taken from a new UUID.
fn entropy() -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "the low bits are wanted")]
    let low = Uuid::now_v7().as_u128() as u32;
    low
}
