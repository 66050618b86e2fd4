//! One attempt: reserve, call the provider, record.
//!
//! It runs as a task of its own, so that it completes even if the caller is dropped: before the
//! request is sent, the lease is released; after that, the response is recorded as usual. A
//! provider that panics fails only its own attempt.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tracing::{Instrument, debug};

use super::breaker::{CallOutcome, SharedPermit};
use super::call_ledger::{CallLedger, LeaseEnd, PendingPermit};
use super::limits::RatePermit;
use super::reservation::RecentCalls;
use super::route::{ProviderHandle, Route};
use super::waiting::PlaceUntilAdmitted;
use super::{
    CallContext, CallError, ChatRequest, ChatResponse, LlmError, LlmErrorKind, Spent, bound,
};
use crate::usage::admission::RETRY_IN_FLIGHT;
use crate::usage::{Admission, Caps, Lease, NanoUsd, Quote, Tokens, UsageRow};

/// The longest model name that the ledger stores, in characters.
const MAX_MODEL_CHARS: usize = 200;

/// A route that the price policy allows, and the call's cost there.
#[derive(Clone)]
pub(super) struct Candidate {
    pub(super) route: Route,
    pub(super) provider: Arc<ProviderHandle>,
    pub(super) quote: Quote,
    /// What calls to the model have used.
    pub(super) recent: Arc<RecentCalls>,
    /// The most that the call can cost.
    pub(super) upper_bound: NanoUsd,
    /// What it reserves.
    pub(super) reserved: NanoUsd,
    /// Whether another route is tried before.
    pub(super) is_fallback: bool,
}

/// The inputs of an attempt.
pub(super) struct Attempt {
    pub(super) candidate: Candidate,
    pub(super) ledger: Arc<CallLedger>,
    pub(super) context: CallContext,
    pub(super) request: ChatRequest,
    pub(super) lease: Lease,
    pub(super) timeout: Duration,
    /// Its place among the calls that wait for room in a budget.
    pub(super) place: PlaceUntilAdmitted,
}

/// What admits an attempt at a provider.
pub(super) struct ProviderPermits {
    pub(super) rate: RatePermit,
    pub(super) breaker: SharedPermit,
}

/// The result of an attempt.
pub(super) enum AttemptOutcome {
    Succeeded {
        response: ChatResponse,
        cost: NanoUsd,
        degraded: bool,
    },
    Failed(LlmError),
    /// The attempt was not made.
    NotMade(CallError),
}

type ProviderResult = Result<ChatResponse, LlmError>;

impl Attempt {
    /// Runs the attempt to completion, also if the returned future is dropped.
    pub(super) async fn run(self, permits: ProviderPermits) -> AttemptOutcome {
        let Some(permit) = self.ledger.permit() else {
            return AttemptOutcome::NotMade(too_many_pending());
        };
        let (sender, receiver) = oneshot::channel();
        tokio::spawn(self.run_detached(permits, permit, sender).in_current_span());
        // The sender is dropped without a value only if the usage counter panics.
        receiver.await.unwrap_or_else(|_| {
            let why = "the usage counter failed".to_owned();
            AttemptOutcome::NotMade(CallError::CounterUnavailable(why))
        })
    }

    async fn run_detached(
        mut self,
        permits: ProviderPermits,
        permit: PendingPermit,
        outcome: oneshot::Sender<AttemptOutcome>,
    ) {
        // Counted before the gate is checked: once the gate has moved and the count is zero, no
        // call is in flight and none can begin.
        let in_flight = self.ledger.begin_in_flight();
        let caps = Caps::of(&self.context.settings);
        let degraded = match self.ledger.reserve(&self.lease, &caps).await {
            Ok(Admission::Admitted { degraded }) => {
                drop(self.place.take());
                degraded
            }
            Ok(Admission::Refused { reason, budget, place, in_flight }) => {
                let retry_after = in_flight.then_some(RETRY_IN_FLIGHT);
                let refused = CallError::Refused { reason, budget, place, retry_after };
                let _ = outcome.send(AttemptOutcome::NotMade(refused));
                return;
            }
            Err(error) => {
                // The reservation may exist in spite of the error.
                drop((permits, in_flight));
                let unavailable = CallError::CounterUnavailable(error.detail().to_owned());
                let _ = outcome.send(AttemptOutcome::NotMade(unavailable));
                let end = LeaseEnd::Release(self.lease.id);
                return self.ledger.retry_until_recorded(end, error, permit).await;
            }
        };
        if degraded {
            bound::degrade(&mut self.request);
        }
        if outcome.is_closed() || !self.context.is_current() {
            drop((permits, in_flight));
            let _ = outcome.send(AttemptOutcome::NotMade(CallError::Cancelled));
            let end = LeaseEnd::Release(self.lease.id);
            if let Err(error) = self.ledger.record(&end).await {
                self.ledger.retry_until_recorded(end, error, permit).await;
            }
            return;
        }
        let began = Instant::now();
        let result = self.call_provider(permits).await;
        drop(in_flight);
        let row = self.usage_row(&result, degraded, began.elapsed());
        let cost = row.cost;
        let UsageRow { latency_ms, error_type, .. } = &row;
        debug!(
            provider = row.provider,
            model = row.model_requested,
            latency_ms,
            error_type,
            "model call finished"
        );
        let end = LeaseEnd::Settle(Box::new(row));
        let recorded = self.ledger.record(&end).await;
        let _ = outcome.send(match result {
            Ok(response) => AttemptOutcome::Succeeded { response, cost, degraded },
            Err(error) => AttemptOutcome::Failed(error),
        });
        if let Err(error) = recorded {
            self.ledger.retry_until_recorded(end, error, permit).await;
        }
    }

    /// Calls the provider and reports the outcome to its circuit breaker.
    async fn call_provider(&self, permits: ProviderPermits) -> ProviderResult {
        let ProviderPermits { mut rate, breaker } = permits;
        rate.begin();
        let provider = &self.candidate.provider.client;
        let call = AssertUnwindSafe(async { provider.chat(&self.request).await }).catch_unwind();
        let name = provider.name();
        let result = match timeout(self.timeout, call).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => {
                Err(LlmError::new(LlmErrorKind::Panicked, format!("{name}'s code panicked")))
            }
            Err(_) => {
                let limit = self.timeout.as_secs_f64();
                let detail = format!("{name} did not respond within {limit:.1} s");
                Err(LlmError::new(LlmErrorKind::Timeout, detail))
            }
        };
        breaker.record(match &result {
            Err(error) if error.kind.is_provider_fault() => CallOutcome::Failed(error.retry_after),
            _ => CallOutcome::Responded,
        });
        result
    }

    fn usage_row(&self, result: &ProviderResult, degraded: bool, took: Duration) -> UsageRow {
        let (bound, price) = (self.candidate.upper_bound, self.candidate.quote.price);
        let most = Tokens {
            input: self.lease.input_tokens,
            cached_input: 0,
            output: self.lease.output_tokens,
        };
        let (tokens, cost) = match result {
            Ok(ChatResponse { tokens, usage_reported: true, .. }) => {
                self.candidate.recent.add(most, *tokens);
                (*tokens, price.of(*tokens))
            }
            Ok(_) => (most, bound),
            Err(error) => match error.spent {
                Spent::Nothing => (Tokens::default(), NanoUsd(0)),
                Spent::Exactly(tokens) => (tokens, price.of(tokens)),
                Spent::Unknown => (most, bound),
                Spent::AtLeast(tokens) => {
                    let input = tokens.input.max(most.input);
                    let output = tokens.output.max(most.output);
                    (Tokens { input, output, ..tokens }, bound.max(price.of(tokens)))
                }
            },
        };
        let response = result.as_ref().ok();
        let resolved = response.map(|r| r.model.chars().take(MAX_MODEL_CHARS).collect::<String>());
        UsageRow {
            model_resolved: resolved.filter(|model| !model.is_empty()),
            input_tokens: tokens.input.max(0),
            cached_input_tokens: tokens.cached_input.max(0),
            output_tokens: tokens.output.max(0),
            reasoning_tokens: response.map_or(0, |r| r.reasoning_tokens.max(0)),
            cost,
            over_reservation: cost > self.lease.upper_bound,
            success: result.is_ok(),
            fallback_used: degraded || self.candidate.is_fallback,
            latency_ms: i64::try_from(took.as_millis()).unwrap_or(i64::MAX),
            error_type: result.as_ref().err().map(|error| error.kind.as_str().to_owned()),
            ..self.lease.expired(self.ledger.now())
        }
    }
}

/// Records a call that was not sent to any provider because of `error`, with what it would have reserved
/// as `lease`.
///
/// # Errors
/// `CounterUnavailable` if too many calls are not recorded yet. A row that cannot be written now is
/// written later.
pub(super) async fn record_unsent(
    ledger: &Arc<CallLedger>,
    lease: &Lease,
    error: LlmErrorKind,
) -> Result<(), CallError> {
    let Some(permit) = ledger.permit() else { return Err(too_many_pending()) };
    let row = UsageRow {
        input_tokens: 0,
        output_tokens: 0,
        cost: NanoUsd(0),
        sent: false,
        latency_ms: 0,
        error_type: Some(error.as_str().to_owned()),
        ..lease.expired(ledger.now())
    };
    let end = LeaseEnd::Settle(Box::new(row));
    let ledger = Arc::clone(ledger);
    // Recorded also if the caller is dropped.
    let recorded = tokio::spawn(async move {
        if let Err(error) = ledger.record(&end).await {
            let retry = async move { ledger.retry_until_recorded(end, error, permit).await };
            tokio::spawn(retry.in_current_span());
        }
    });
    let _ = recorded.await;
    Ok(())
}

fn too_many_pending() -> CallError {
    CallError::CounterUnavailable("too many calls are not recorded yet".to_owned())
}
