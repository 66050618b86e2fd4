//! Asking models: a bounded number of calls, and the rule when none brings an action.
//!
//! The router makes, prices and books the calls; what it refuses or cannot bring leaves the turn to
//! the rule, so that an outage or an empty purse never stops the world by itself.

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

/// All calls of a turn together may take so long, or half of what the turn may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// A router books what it has asked, which may take so much longer, or a quarter of the turn.
const FOR_BOOKING: Duration = Duration::from_secs(5);
const TEMPERATURE: f64 = 0.7;
/// The word for answers that are no actions.
const NO_ACTION: &str = "no_action";

/// The models behind a router.
pub(super) struct Model {
    router: Router,
    /// Whether the last call got no answer; kept only so that an outage is logged once.
    away: AtomicBool,
}

/// Why a turn is left to the rule.
enum NoAction {
    /// No answer.
    Call(CallError),
    /// Answers, and none of them an action.
    Answers(String),
}

impl Model {
    pub(super) fn new(router: Router) -> Self {
        Self { router, away: AtomicBool::new(false) }
    }

    /// What the agent of `turn` does; the rule when no model says. Calls count for `run`.
    pub(super) async fn decide(
        &self,
        turn: &Turn,
        run: Option<&str>,
        society: &Society,
    ) -> Decision {
        let me = society.living().find(|agent| agent.number == turn.agent_id);
        let Some(me) = me.filter(|agent| agent.is_lucid()) else {
            return Decision::rule("a model is not asked for who is dormant or just awake");
        };
        let gate = turn.clone();
        let mut context = CallContext::new(Arc::clone(&turn.settings))
            .for_agent(turn.agent_id, Some(me.turns + 1))
            .while_current(move || gate.is_current());
        context.run_id = run.map(str::to_owned);
        let mut calls = self.no_calls();
        let asking = self.ask(context, turn, prompt::of(society, me), &mut calls);
        // What waits for its place or its pause ends with the gate; what is under way is booked.
        let asked = tokio::select! {
            asked = asking => asked,
            () = turn.cancelled() => Err(NoAction::Call(CallError::Cancelled)),
        };
        match asked {
            Ok(action) => {
                self.heard(&calls);
                Decision::Model { action, calls }
            }
            Err(why) => self.without(why, calls),
        }
    }

    /// The first answer that is an action.
    async fn ask(
        &self,
        context: CallContext,
        turn: &Turn,
        prompt: String,
        calls: &mut Calls,
    ) -> Result<Action, NoAction> {
        let deadline = Instant::now() + PATIENCE.min(turn.timeout / 2);
        let booked_by = deadline + FOR_BOOKING.min(turn.timeout / 4);
        let retries = turn.settings.int(key::LLM_ACTION_PARSE_RETRY_ATTEMPTS).max(0);
        let mut request = ChatRequest {
            model: String::new(),
            system: prompt::SYSTEM.to_owned(),
            prompt: prompt.clone(),
            max_tokens: turn.settings.int(key::LLM_ACTION_MAX_TOKENS),
            temperature: TEMPERATURE,
        };
        let mut complaint = "there was no time for one".to_owned();
        for _ in 0..=retries {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let context = context.clone().with_timeout(left);
            let answering = self.router.chat(&context, &request);
            let answer = match timeout_at(booked_by, answering).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(error)) => return Err(calls.fail(error)),
                Err(_) => break,
            };
            calls.add(&answer);
            match parse::action(&answer.response.text) {
                Ok(action) => return Ok(action),
                Err(wrong) => complaint = wrong,
            }
            request.prompt = format!("{prompt}Your last answer was no action: {complaint}.");
        }
        Err(NoAction::Answers(complaint))
    }

    /// No calls yet; those that are refused are told of the first route.
    fn no_calls(&self) -> Calls {
        let mut calls = Calls::default();
        if let Some(route) = self.router.routes().next() {
            (calls.provider, calls.model) = (route.provider.clone(), route.model.clone());
        }
        calls
    }

    fn heard(&self, calls: &Calls) {
        if self.away.swap(false, Ordering::Relaxed) {
            info!(provider = calls.provider, model = calls.model, "models act again");
        }
    }

    /// The turn is the rule's. An outage is said once, until there is an answer again.
    fn without(&self, why: NoAction, mut calls: Calls) -> Decision {
        let (word, reason) = match why {
            NoAction::Answers(complaint) => {
                self.heard(&calls);
                let reason = format!("the model's answers are no actions: {complaint}");
                debug!(model = calls.model, reason, "the agent follows the rule");
                (NO_ACTION, reason)
            }
            NoAction::Call(error) => {
                let reason = error.to_string();
                // A turn that was overtaken says nothing of the models.
                let tells = error != CallError::Cancelled;
                if tells && !self.away.swap(true, Ordering::Relaxed) {
                    warn!(reason, "no action from a model; agents follow the rule");
                }
                (error.as_str(), reason)
            }
        };
        calls.refused = Some(word.to_owned());
        Decision::Rule { reason, calls: Some(calls) }
    }
}

impl Calls {
    fn add(&mut self, answer: &RoutedResponse) {
        self.provider.clone_from(&answer.route.provider);
        self.model.clone_from(&answer.route.model);
        self.calls += answer.attempts;
        self.degraded |= answer.degraded;
        let tokens = answer.response.tokens();
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
