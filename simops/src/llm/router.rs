//! The router: tries an ordered list of routes until one succeeds.
//!
//! Every attempt is reserved before it is sent and leaves one row in the ledger. If the provider
//! reports no usage, a request that was refused or never arrived costs nothing, and one after which
//! a model may have run (a time-out, an incomplete response) costs the most that it can have cost. A call
//! that all circuit breakers refuse leaves one row of cost 0, `circuit_open`, which uses up no budget. If only the breaker of
//! an earlier route is open, the row of the later route has `fallback_used`.

use std::sync::Arc;
use std::time::Duration;

use super::route::Route;
use super::routing::RouterInner;
use super::{BudgetRefusals, CallContext, CallError, ChatRequest, RoutedResponse};

/// An ordered list of routes. Clones share rate limits, circuit breakers and pending calls.
///
/// ```
/// # use std::sync::Arc;
/// # use simops::{SystemClock, host::Turn, llm::*, usage::{PriceBook, UsageCounter}};
/// # async fn call(counter: Arc<dyn UsageCounter>, turn: &Turn, request: ChatRequest) -> simops::Result<()> {
/// let scripted = ScriptedProvider::new(|_| Ok("work".to_owned())).named("groq");
/// let router = Router::builder(counter, Arc::new(PriceBook::shipped()?), Arc::new(SystemClock))
///     .provider(Arc::new(scripted), Limits::default())
///     .route("groq", "llama-3.1-8b-instant")
///     .build()?;
/// let gate = turn.clone();
/// let context = CallContext::new(Arc::clone(&turn.settings))
///     .for_run(&turn.run.run_id)
///     .for_agent(turn.agent_id.clone(), None)
///     .while_current(move || gate.is_current());
/// let response = router.chat(&context, &request).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Router(pub(super) Arc<RouterInner>);

impl Router {
    /// Whether the router has no route, so that every call returns [`CallError::NoProvider`].
    pub fn is_empty(&self) -> bool {
        self.0.routes.is_empty()
    }

    /// The routes, in the order in which they are tried.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.0.routes.iter().map(|(route, ..)| route)
    }

    /// Runs whose calls cost more than the day's remaining budget.
    pub fn refusals(&self) -> &Arc<BudgetRefusals> {
        &self.0.refusals
    }

    /// Attempts that are reserved or in flight. If it is zero after the run gate moved, no attempt
    /// of the old gate generation can begin any more.
    pub fn in_flight(&self) -> usize {
        self.0.ledger.in_flight()
    }

    /// Attempts that are not recorded in the ledger yet, including those in flight.
    pub fn pending(&self) -> usize {
        self.0.ledger.pending()
    }

    /// Waits until every attempt has ended and is recorded in the ledger. Call it before the process
    /// exits. New calls fail while it waits.
    ///
    /// # Errors
    /// The number of attempts that are not recorded after `timeout`; when their leases expire, they
    /// are charged what they had reserved.
    ///
    /// # Cancel safety
    /// Dropping the future only ends the wait.
    pub async fn flush(&self, timeout: Duration) -> Result<(), usize> {
        self.0.ledger.flush_pending(timeout).await
    }

    /// Tries the routes in order until one succeeds; the request's model is replaced by the route's.
    ///
    /// # Errors
    /// No route succeeded. If the routes failed for different reasons, a failed attempt takes
    /// precedence over a refusal by the caps, and that over the other reasons of [`CallError`].
    ///
    /// # Cancel safety
    /// Dropping the future begins no further attempt. An attempt in flight continues up to its
    /// time-out and is recorded with its actual cost; one that is not sent yet is released.
    pub async fn chat(
        &self,
        context: &CallContext,
        request: &ChatRequest,
    ) -> Result<RoutedResponse, CallError> {
        let recorded = self.recorded(context).await?;
        self.0.chat(recorded.as_ref().unwrap_or(context), request).await
    }

    /// `context` with the agent under which the call is recorded, if that is another.
    async fn recorded(&self, context: &CallContext) -> Result<Option<CallContext>, CallError> {
        let (Some(roster), Some(agent)) = (&self.0.agents, &context.agent_id) else {
            return Ok(None);
        };
        let unavailable = |why: String| CallError::CounterUnavailable(why);
        let recorded = roster.recorded(context.run_id.as_deref(), agent);
        let recorded = tokio::time::timeout(self.0.options.counter_timeout, recorded).await;
        let recorded = recorded.map_err(|_| unavailable("the store does not answer".to_owned()))?;
        let recorded = recorded.map_err(|error| unavailable(error.detail().to_owned()))?;
        let is_other = recorded != *agent;
        Ok(is_other.then(|| context.clone().for_agent(recorded, context.checkpoint)))
    }
}
