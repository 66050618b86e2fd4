//! Decisions by models: a bounded number of calls per turn, then the fallback rule.
//!
//! The router prices, makes and records the calls. If it refuses a call or a call fails, the turn
//! follows the fallback rule, so that an outage or an exhausted budget alone never stops the world.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use simops::host::Turn;
use simops::llm::{CallContext, CallError, ChatRequest, RoutedResponse, Router};
use simops::settings::key;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, info, warn};

use super::action::Action;
use super::decision::{Calls, Decision};
use super::society::Society;
use super::{parse, prompt};

/// Limit of all calls of a turn together, unless half of the turn's time-out is shorter.
const TURN_CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Additional time for the router to record its calls, unless a quarter of the turn's time-out is
/// shorter.
const RECORDING_MARGIN: Duration = Duration::from_secs(5);
const TEMPERATURE: f64 = 0.7;
/// The `refused` code of a turn whose model responses were not valid actions.
const NO_ACTION: &str = "no_action";

/// The models behind a router.
pub(super) struct Model {
    router: Router,
    /// Whether the current outage has been logged, so that each outage is logged once.
    outage_logged: AtomicBool,
}

/// Why a turn follows the fallback rule.
enum NoAction {
    /// A call failed.
    Call(CallError),
    /// No response was a valid action; contains the last parse error.
    InvalidResponses(String),
}

impl Model {
    pub(super) fn new(router: Router) -> Self {
        Self { router, outage_logged: AtomicBool::new(false) }
    }

    /// Decides the turn: a model's action, or the fallback rule. Calls are recorded for `run`.
    pub(super) async fn decide(
        &self,
        turn: &Turn,
        run: Option<&str>,
        society: &Society,
    ) -> Decision {
        let me = society.living().find(|agent| Some(agent.number) == turn.agent_id.number());
        let Some(me) = me.filter(|agent| agent.can_decide()) else {
            return Decision::rule("the agent is dormant or just woke up");
        };
        let gate = turn.clone();
        let mut context = CallContext::new(Arc::clone(&turn.settings))
            .for_agent(turn.agent_id.clone(), Some(me.turns + 1))
            .while_current(move || gate.is_current());
        context.run_id = run.map(str::to_owned);
        let mut calls = self.initial_calls();
        let asking = self.request_action(context, turn, prompt::of(society, me), &mut calls);
        // When the gate moves, a waiting call is dropped; a call in flight is still recorded.
        let result = tokio::select! {
            result = asking => result,
            () = turn.cancelled() => Err(NoAction::Call(CallError::Cancelled)),
        };
        match result {
            Ok(action) => {
                self.log_recovery(&calls);
                Decision::Model { action, calls }
            }
            Err(why) => self.fall_back(why, calls),
        }
    }

    /// Calls the model until a response is a valid action.
    async fn request_action(
        &self,
        context: CallContext,
        turn: &Turn,
        prompt: String,
        calls: &mut Calls,
    ) -> Result<Action, NoAction> {
        let deadline = Instant::now() + TURN_CALL_TIMEOUT.min(turn.timeout / 2);
        let recorded_by = deadline + RECORDING_MARGIN.min(turn.timeout / 4);
        let retries = turn.settings.int(key::LLM_ACTION_PARSE_RETRY_ATTEMPTS).max(0);
        let mut request = ChatRequest {
            model: String::new(),
            system: prompt::SYSTEM.to_owned(),
            prompt: prompt.clone(),
            max_tokens: turn.settings.int(key::LLM_ACTION_MAX_TOKENS),
            temperature: TEMPERATURE,
        };
        let mut parse_error = "there was no time for a call".to_owned();
        for _ in 0..=retries {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let context = context.clone().with_timeout(left);
            let call = self.router.chat(&context, &request);
            let response = match timeout_at(recorded_by, call).await {
                Ok(Ok(response)) => response,
                Ok(Err(error)) => return Err(calls.fail(error)),
                Err(_) => break,
            };
            calls.add(&response);
            match parse::action(&response.response.text) {
                Ok(action) => return Ok(action),
                Err(error) => parse_error = error,
            }
            request.prompt = format!("{prompt}Your last answer was no action: {parse_error}.");
        }
        Err(NoAction::InvalidResponses(parse_error))
    }

    /// Zero calls, with the first route: if a call is refused, the event names that route.
    fn initial_calls(&self) -> Calls {
        let mut calls = Calls::default();
        if let Some(route) = self.router.routes().next() {
            (calls.provider, calls.model) = (route.provider.clone(), route.model.clone());
        }
        calls
    }

    /// Logs the end of an outage.
    fn log_recovery(&self, calls: &Calls) {
        if self.outage_logged.swap(false, Ordering::Relaxed) {
            info!(provider = calls.provider, model = calls.model, "model calls recovered");
        }
    }

    /// The fallback rule's decision. Logs the first failure of an outage.
    fn fall_back(&self, why: NoAction, mut calls: Calls) -> Decision {
        let (code, reason) = match why {
            NoAction::InvalidResponses(parse_error) => {
                self.log_recovery(&calls);
                let reason = format!("the model's responses are not valid actions: {parse_error}");
                debug!(model = calls.model, reason, "using fallback rule");
                (NO_ACTION, reason)
            }
            NoAction::Call(error) => {
                let reason = error.to_string();
                // A cancelled turn says nothing about the models.
                let is_outage = error != CallError::Cancelled;
                if is_outage && !self.outage_logged.swap(true, Ordering::Relaxed) {
                    warn!(
                        code = "model_call_failed",
                        reason, "model call failed; using fallback rule"
                    );
                }
                (error.as_str(), reason)
            }
        };
        calls.refused = Some(code.to_owned());
        Decision::Rule { reason, calls: Some(calls) }
    }
}

impl Calls {
    fn add(&mut self, routed: &RoutedResponse) {
        self.provider.clone_from(&routed.route.provider);
        self.model.clone_from(&routed.route.model);
        self.calls += routed.attempts;
        self.degraded |= routed.degraded;
        let tokens = routed.response.tokens;
        self.input_tokens = self.input_tokens.saturating_add(tokens.input);
        self.output_tokens = self.output_tokens.saturating_add(tokens.output);
    }

    fn fail(&mut self, error: CallError) -> NoAction {
        if let CallError::Failed { provider, model, attempts, .. } = &error {
            self.provider.clone_from(provider);
            self.model.clone_from(model);
            self.calls += attempts;
        }
        NoAction::Call(error)
    }
}
