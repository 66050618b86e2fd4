//! Asking a model: a bounded number of calls, and the rule when none brings an action.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use simops::host::Turn;
use simops::llm::{ChatRequest, LlmProvider};
use simops::settings::key;
use tracing::{info, warn};

use super::action::Action;
use super::decision::{Calls, Decision};
use super::society::Society;
use super::{parse, prompt};

/// All calls of a turn together may take so long; less than a worker gives to a turn.
const PATIENCE: Duration = Duration::from_secs(30);
const TEMPERATURE: f64 = 0.7;

/// A provider and the model that it is asked for.
pub(super) struct Model {
    provider: Arc<dyn LlmProvider>,
    name: String,
    /// Whether the last turn got no action; kept only so that an outage is logged once.
    away: AtomicBool,
}

impl Model {
    pub(super) fn new(provider: Arc<dyn LlmProvider>, name: String) -> Self {
        Self { provider, name, away: AtomicBool::new(false) }
    }

    /// What the agent of `turn` does; the rule when the model does not say.
    pub(super) async fn decide(&self, turn: &Turn, society: &Society) -> Decision {
        let me = society.living().find(|agent| agent.number == turn.agent_id);
        let Some(me) = me.filter(|agent| agent.is_lucid()) else {
            return Decision::rule("a model is not asked for who is dormant or just awake");
        };
        let mut calls = Calls {
            provider: self.provider.name().to_owned(),
            model: self.name.clone(),
            ..Calls::default()
        };
        let asking = self.ask(turn, prompt::of(society, me), &mut calls);
        let answer = tokio::time::timeout(PATIENCE, asking).await;
        match answer.unwrap_or_else(|_| Err("the model took too long".to_owned())) {
            Ok(action) => {
                if self.away.swap(false, Ordering::Relaxed) {
                    info!(provider = calls.provider, model = calls.model, "the model acts again");
                }
                Decision::Model { action, calls }
            }
            Err(reason) => {
                // A turn that was overtaken says nothing of the model.
                if turn.is_current() && !self.away.swap(true, Ordering::Relaxed) {
                    let (provider, model) = (&calls.provider, &calls.model);
                    warn!(
                        provider,
                        model, reason, "no action from the model; agents follow the rule"
                    );
                }
                Decision::Rule { reason, calls: Some(calls) }
            }
        }
    }

    /// The first answer that is an action.
    async fn ask(&self, turn: &Turn, prompt: String, calls: &mut Calls) -> Result<Action, String> {
        let retries = turn.settings.int(key::LLM_ACTION_PARSE_RETRY_ATTEMPTS).max(0);
        let mut request = ChatRequest {
            model: self.name.clone(),
            system: prompt::SYSTEM.to_owned(),
            prompt: prompt.clone(),
            max_tokens: turn.settings.int(key::LLM_ACTION_MAX_TOKENS),
            temperature: TEMPERATURE,
        };
        let mut complaint = String::new();
        for _ in 0..=retries {
            if !turn.is_current() {
                return Err("the turn was overtaken".to_owned());
            }
            calls.calls += 1;
            let response = self.provider.chat(&request).await.map_err(|error| error.to_string())?;
            calls.input_tokens = calls.input_tokens.saturating_add(response.input_tokens);
            calls.output_tokens = calls.output_tokens.saturating_add(response.output_tokens);
            match parse::action(&response.text) {
                Ok(action) => return Ok(action),
                Err(wrong) => complaint = wrong,
            }
            request.prompt = format!("{prompt}Your last answer was no action: {complaint}.");
        }
        Err(format!("the model's answers are no actions: {complaint}"))
    }
}
