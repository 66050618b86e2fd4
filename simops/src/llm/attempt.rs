//! One attempt: reserved, made, booked.
//!
//! It runs as a task of its own, so that it ends well whatever becomes of whoever asked: dropped
//! before the request is sent, the lease is released; dropped after, the answer's figures are
//! booked all the same. A provider that panics costs its attempt, and nothing else.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tracing::{Instrument, debug};

use super::breaker::{Heard, Pass};
use super::limits::Place;
use super::route::Lane;
use super::till::{End, Slot, Till};
use super::{CallContext, ChatRequest, ChatResponse, LlmError, LlmErrorKind, Spent, bound};
use crate::usage::admission::RETRY_IN_FLIGHT;
use crate::usage::{Admission, Caps, Lease, NanoUsd, Quote, Refused, UsageRow};

/// Characters of a provider's word for a model that the ledger keeps.
const MAX_MODEL_CHARS: usize = 200;

/// All that an attempt needs.
pub(super) struct Attempt {
    pub(super) lane: Arc<Lane>,
    pub(super) till: Arc<Till>,
    pub(super) context: CallContext,
    pub(super) request: ChatRequest,
    pub(super) quote: Quote,
    pub(super) caps: Caps,
    pub(super) lease: Lease,
    pub(super) later_route: bool,
    pub(super) timeout: Duration,
}

/// Whether the provider is asked at all.
pub(super) enum Leave {
    /// It is.
    Ask(Place, Pass),
    /// It is not, and that goes on record as this failure.
    Record(LlmError),
}

/// How it ended.
pub(super) enum Ended {
    Answered { response: ChatResponse, cost: NanoUsd, degraded: bool },
    Failed(LlmError),
    Refused { reason: Refused, retry_after: Option<Duration> },
    Overtaken,
    Uncounted(String),
}

type Asked = Result<ChatResponse, LlmError>;

impl Attempt {
    /// Runs it to its end, however long its caller waits.
    pub(super) async fn run(self, leave: Leave) -> Ended {
        let Some(slot) = self.till.slot() else {
            return Ended::Uncounted("too many calls wait to be booked".to_owned());
        };
        let (tell, told) = oneshot::channel();
        tokio::spawn(self.live(leave, slot, tell).in_current_span());
        // Only a counter that panics gets here.
        told.await.unwrap_or_else(|_| Ended::Uncounted("the usage counter failed".to_owned()))
    }

    async fn live(mut self, leave: Leave, slot: Slot, tell: oneshot::Sender<Ended>) {
        // Counted before the gate is asked: a gate that has moved and a count of zero mean that
        // nothing is under way and nothing will begin.
        let in_flight = self.till.takes_off();
        let degraded = match self.till.reserve(&self.lease, &self.caps).await {
            Ok(Admission::Admitted { degraded }) => degraded,
            Ok(Admission::Refused { reason, in_flight }) => {
                let retry_after = in_flight.then_some(RETRY_IN_FLIGHT);
                let _ = tell.send(Ended::Refused { reason, retry_after });
                return;
            }
            Err(error) => {
                // It may have been counted all the same.
                drop((leave, in_flight));
                let _ = tell.send(Ended::Uncounted(error.detail().to_owned()));
                return self.till.insist(End::Release(self.lease.id), error, slot).await;
            }
        };
        if degraded {
            bound::degrade(&mut self.request);
        }
        if tell.is_closed() || !self.context.is_current() {
            drop((leave, in_flight));
            let _ = tell.send(Ended::Overtaken);
            let end = End::Release(self.lease.id);
            if let Err(error) = self.till.book(&end).await {
                self.till.insist(end, error, slot).await;
            }
            return;
        }
        let began = Instant::now();
        let asked = match leave {
            Leave::Ask(place, pass) => self.ask(place, pass).await,
            Leave::Record(error) => Err(error),
        };
        drop(in_flight);
        let row = self.row(&asked, degraded, began.elapsed());
        let cost = row.cost;
        let UsageRow { latency_ms, error_type, .. } = &row;
        debug!(
            provider = row.provider,
            model = row.model_requested,
            latency_ms,
            error_type,
            "asked"
        );
        let end = End::Settle(Box::new(row));
        let booked = self.till.book(&end).await;
        let _ = tell.send(match asked {
            Ok(response) => Ended::Answered { response, cost, degraded },
            Err(error) => Ended::Failed(error),
        });
        if let Err(error) = booked {
            self.till.insist(end, error, slot).await;
        }
    }

    /// Asks the provider, and tells the breaker how it went.
    async fn ask(&self, mut place: Place, pass: Pass) -> Asked {
        place.begin();
        let provider = &self.lane.provider;
        let asking = AssertUnwindSafe(async { provider.chat(&self.request).await }).catch_unwind();
        let name = provider.name();
        let asked = match timeout(self.timeout, asking).await {
            Ok(Ok(asked)) => asked,
            Ok(Err(_)) => {
                Err(LlmError::new(LlmErrorKind::Panicked, format!("{name}'s code panicked")))
            }
            Err(_) => {
                let limit = self.timeout.as_secs_f64();
                let detail = format!("{name} did not answer within {limit:.1} s");
                Err(LlmError::new(LlmErrorKind::Timeout, detail))
            }
        };
        pass.record(match &asked {
            Err(error) if error.kind.is_provider_fault() => Heard::Failed(error.retry_after),
            _ => Heard::Alive,
        });
        asked
    }

    fn row(&self, asked: &Asked, degraded: bool, took: Duration) -> UsageRow {
        let (bound, price) = (self.lease.upper_bound, self.quote.price);
        let (tokens, cost) = match asked {
            Ok(response) if response.usage_reported => {
                (response.tokens(), price.of(response.tokens()))
            }
            Ok(_) => (Default::default(), bound),
            Err(error) => (
                error.spent.tokens().unwrap_or_default(),
                match error.spent {
                    Spent::Nothing => NanoUsd(0),
                    Spent::Exactly(tokens) => price.of(tokens),
                    Spent::Unknown => bound,
                    Spent::AtLeast(tokens) => bound.max(price.of(tokens)),
                },
            ),
        };
        let response = asked.as_ref().ok();
        let resolved = response.map(|r| r.model.chars().take(MAX_MODEL_CHARS).collect::<String>());
        let lease = &self.lease;
        UsageRow {
            id: lease.id,
            day: lease.day,
            run_id: lease.run_id.clone(),
            agent_id: lease.agent_id,
            checkpoint: lease.checkpoint,
            provider: lease.provider.clone(),
            model_requested: lease.model.clone(),
            model_resolved: resolved.filter(|model| !model.is_empty()),
            input_tokens: tokens.input.max(0),
            cached_input_tokens: tokens.cached_input.max(0),
            output_tokens: tokens.output.max(0),
            reasoning_tokens: response.map_or(0, |r| r.reasoning_tokens.max(0)),
            cost,
            priced: self.quote.priced,
            success: asked.is_ok(),
            fallback_used: degraded || self.later_route,
            latency_ms: i64::try_from(took.as_millis()).unwrap_or(i64::MAX),
            error_type: asked.as_ref().err().map(|error| error.kind.as_str().to_owned()),
            created_at: self.till.now(),
        }
    }
}
