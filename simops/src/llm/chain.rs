//! Down the chain of routes: attempts, pauses, later routes, and what the call ends with.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::attempt::{Attempt, Ended, Leave};
use super::route::{Lane, Route};
use super::till::Till;
use super::{
    Answer, BudgetRefusals, CallContext, CallError, ChatRequest, LlmError, LlmErrorKind, Refusal,
    RouterOptions, bound,
};
use crate::clock::day_of;
use crate::settings::key;
use crate::usage::{Caps, Lease, NanoUsd, PriceBook, Quote, Refused};

/// What is left of a call's time must at least be this, or half of all of it, for an attempt to
/// begin: a request that cannot be answered in time would only cost.
const LEAST_ATTEMPT: Duration = Duration::from_secs(1);
/// A call that may take longer may take this long.
const LONGEST_CALL: Duration = Duration::from_secs(24 * 60 * 60);

/// What a router's clones share.
pub(super) struct Chain {
    pub(super) routes: Vec<(Route, Arc<Lane>)>,
    pub(super) till: Arc<Till>,
    pub(super) prices: Arc<PriceBook>,
    pub(super) refusals: Arc<BudgetRefusals>,
    pub(super) options: RouterOptions,
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
    /// No attempt begins after it.
    begin_by: Instant,
    deadline: Instant,
    /// Routes not given up.
    routes_left: u32,
    attempts: u32,
}

impl Chain {
    /// See [`Router::chat`](super::Router::chat).
    pub(super) async fn chat(
        &self,
        context: &CallContext,
        request: &ChatRequest,
    ) -> Result<Answer, CallError> {
        let candidates = self.candidates(context, request)?;
        let patience = context.timeout.unwrap_or(self.options.call_timeout).min(LONGEST_CALL);
        let deadline = Instant::now() + patience;
        let begin_by = deadline - LEAST_ATTEMPT.min(patience / 2);
        let routes_left = u32::try_from(candidates.len()).unwrap_or(u32::MAX);
        let mut call = Call { context, request, begin_by, deadline, routes_left, attempts: 0 };
        let mut worst: Option<(&Candidate, CallError)> = None;
        let mut too_dear: Option<NanoUsd> = None;
        for candidate in &candidates {
            let followed = self.follow(candidate, &mut call).await;
            call.routes_left = call.routes_left.saturating_sub(1);
            match followed {
                Ok(answer) => return Ok(answer),
                Err(error @ (CallError::Overtaken | CallError::Uncounted(_))) => return Err(error),
                Err(error) => {
                    if is_too_dear(&error) {
                        let bound = candidate.bound;
                        too_dear = Some(too_dear.map_or(bound, |least| least.min(bound)));
                    }
                    if worst.as_ref().is_none_or(|(_, worst)| tells_more(&error, worst)) {
                        worst = Some((candidate, error));
                    }
                }
            }
        }
        let Some((candidate, mut error)) = worst else { return Err(CallError::NoProvider) };
        if let CallError::CircuitOpen { .. } = &error {
            error = self.record_open(candidate, &mut call, error).await;
        }
        if let Some(run) = &context.run_id
            && is_too_dear(&error)
            && context.is_current()
        {
            let needed = too_dear.unwrap_or(candidate.bound);
            self.refusals.note(run, Refusal { at: self.till.now(), needed });
        }
        Err(error)
    }

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
        let wait_until = call.wait_until();
        let mut failed = None;
        for made in 1.. {
            let open = |retry_after| CallError::CircuitOpen { provider: provider(), retry_after };
            if !call.context.is_current() {
                return Err(CallError::Overtaken);
            }
            if let Some(wait) = lane.circuit.closed_for() {
                return Err(failed.unwrap_or_else(|| open(wait)));
            }
            let entering = lane.gate.enter(lane.per_minute(call.context), wait_until).await;
            let leave = match (entering, Instant::now() <= call.begin_by) {
                (Ok(place), true) => match lane.circuit.enter() {
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
                Ended::Refused { .. } if failed.is_some() => break,
                ended => return Err(ended.without_answer()),
            };
            let left = wait_until.saturating_duration_since(Instant::now());
            let pause = self.options.retry.pause(made, &error, entropy(), left);
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
        let left = call.deadline.saturating_duration_since(Instant::now());
        let timeout = self.options.attempt_timeout.min(left);
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
    /// Until when a route may keep the call waiting: its share of the time, so that a busy route
    /// leaves some to the routes behind it.
    fn wait_until(&self) -> Instant {
        let now = Instant::now();
        now + self.begin_by.saturating_duration_since(now) / self.routes_left.max(1)
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

/// Whether the rest of the day's budget cannot pay for the call, calls in flight aside.
fn is_too_dear(error: &CallError) -> bool {
    let reason = Refused::HardBudgetReached;
    *error == CallError::Refused { reason, retry_after: None }
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
