//! The reference world: a small society whose agents work, trade, talk and vote, and sometimes starve.
//!
//! A turn is one action of one agent. When every living agent has taken a turn, the day ends: agents
//! eat, some become dormant or die, and overdue votes close. The modules:
//!
//! - the state: `stock`, `agent`, `law`, `proposal` and `forum`, combined in a `society`, which is
//!   loaded from and stored as documents;
//! - what an agent can do: an `action`, which the `rules` apply or refuse;
//! - what happens at the end of a `day`;
//! - who decides: a model (`model`, `prompt`, `parse`) or, if no model responds, a fixed rule
//!   (`fallback`) on the newest world, with random numbers from `rng`;
//! - [`once()`] takes a single turn on request.
//!
//! The same seed and the same model responses produce the same history, at any pace and any
//! concurrency.

mod action;
mod agent;
mod day;
mod decision;
mod event_log;
mod fallback;
mod forum;
mod law;
mod model;
mod once;
mod parse;
mod phrases;
mod prompt;
mod proposal;
mod rng;
mod rules;
mod society;
mod stock;
#[cfg(test)]
mod tests;
mod turn;

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use simops::host::{Outcome, Seeded, SimulationHost, Turn};
use simops::llm::Router;
use simops::store::World;
use simops::{AgentId, Error, Result, async_trait};
use tracing::info;

use decision::Decision;
use model::Model;
pub use once::{OnceReport, once};
use society::Society;

/// The largest number of agents. Every turn reads the whole society.
pub const MAX_AGENTS: u32 = 1_000;

/// The initial state of a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommonsOptions {
    /// The initial number of agents, 1 to [`MAX_AGENTS`]; they are numbered from 1.
    pub agents: u32,
    /// The seed of all random numbers.
    pub seed: u64,
}

impl Default for CommonsOptions {
    fn default() -> Self {
        Self { agents: 50, seed: 42 }
    }
}

/// The reference world as a [`SimulationHost`].
pub struct Commons {
    options: CommonsOptions,
    model: Option<Model>,
    no_model_logged: AtomicBool,
}

impl Commons {
    /// The name of this host.
    pub const NAME: &str = "commons";

    /// A world without models: every agent follows the fallback rule.
    pub fn new(options: CommonsOptions) -> Self {
        Self { options, model: None, no_model_logged: AtomicBool::new(false) }
    }

    /// Lets agents decide by models through `router`. With `None` or a router without routes, they
    /// follow the fallback rule.
    #[must_use]
    pub fn with_router(self, router: impl Into<Option<Router>>) -> Self {
        let router = router.into().filter(|router| !router.is_empty());
        Self { model: router.map(Model::new), ..self }
    }

    /// Decides the turn; model calls are recorded for `run`.
    async fn choose(&self, turn: &Turn, run: Option<&str>) -> Result<Decision> {
        let Some(model) = &self.model else {
            if !self.no_model_logged.swap(true, Ordering::Relaxed) {
                info!(world = self.name(), "no model provider; using fallback rule");
            }
            return Ok(Decision::rule("no provider"));
        };
        Ok(model.decide(turn, run, &Society::load(&turn.world.documents)?).await)
    }
}

impl Default for Commons {
    fn default() -> Self {
        Self::new(CommonsOptions::default())
    }
}

#[async_trait]
impl SimulationHost for Commons {
    fn name(&self) -> &str {
        Self::NAME
    }

    async fn seed(&self) -> Result<Seeded> {
        let CommonsOptions { agents, seed } = self.options;
        if !(1..=MAX_AGENTS).contains(&agents) {
            return Err(Error::invalid("agents", format!("must be between 1 and {MAX_AGENTS}")));
        }
        let documents = Society::new(agents, seed).documents()?;
        let result = json!({ "world": self.name(), "agents": agents, "seed": seed });
        Ok(Seeded { documents, result })
    }

    fn agents(&self, world: &World) -> Result<Vec<AgentId>> {
        let order = Society::load(&world.documents)?.turn_order();
        Ok(order.into_iter().map(AgentId::from).collect())
    }

    async fn decide(&self, turn: &Turn) -> Result<Value> {
        self.choose(turn, Some(&turn.run.run_id)).await?.to_value()
    }

    fn act(&self, turn: &Turn, decision: Value) -> Result<Outcome> {
        turn::take(turn, Decision::read(decision))
    }
}
