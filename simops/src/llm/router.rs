//! The router: down an ordered chain of routes until one answers.
//!
//! Every attempt that is made is reserved before and leaves one row in the ledger. What it costs
//! when the provider does not say: nothing when it was refused or never arrived, the reserved upper
//! bound when a model may have run (a time-out, half an answer). A call that all breakers refuse
//! leaves one row of cost 0, `circuit_open`; an open breaker with another route behind it only
//! shows in that route's row, as `fallback_used`.

use std::sync::Arc;
use std::time::Duration;

use super::builder::RouterBuilder;
use super::chain::Chain;
use super::route::Route;
use super::{BudgetRefusals, CallContext, CallError, ChatRequest, ChatResponse};
use crate::Clock;
use crate::usage::{NanoUsd, PriceBook, UsageCounter};

/// An ordered chain of routes. Clones share limits, breakers and unbooked rows.
///
/// ```
/// # use std::sync::Arc;
/// # use simops::{SystemClock, host::Turn, llm::*, usage::{PriceBook, UsageCounter}};
/// # async fn ask(counter: Arc<dyn UsageCounter>, turn: &Turn, request: ChatRequest) -> simops::Result<()> {
/// let scripted = ScriptedProvider::new(|_| Ok("work".to_owned())).named("groq");
/// let router = Router::builder(counter, Arc::new(PriceBook::shipped()?), Arc::new(SystemClock))
///     .provider(Arc::new(scripted), Limits::default())
///     .route("groq", "llama-3.1-8b-instant")
///     .build()?;
/// let gate = turn.clone();
/// let context = CallContext::new(Arc::clone(&turn.settings))
///     .for_run(&turn.run.run_id)
///     .for_agent(turn.agent_id, None)
///     .while_current(move || gate.is_current());
/// let answer = router.chat(&context, &request).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Router(pub(super) Arc<Chain>);

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

impl Router {
    /// A router that counts with `counter`, prices by `prices` and dates by `clock`.
    pub fn builder(
        counter: Arc<dyn UsageCounter>,
        prices: Arc<PriceBook>,
        clock: Arc<dyn Clock>,
    ) -> RouterBuilder {
        RouterBuilder::new(counter, prices, clock)
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

    /// Waits until every attempt has ended and is in the ledger: before the process ends. Nothing
    /// new begins while it waits.
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
        self.0.chat(context, request).await
    }
}
