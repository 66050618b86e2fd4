//! The reference world: a small society that works, trades, talks, votes, and sometimes starves.
//!
//! A turn is one action of one agent; when there have been as many turns as agents live, the day
//! ends: everybody eats, some go hungry, dormant or die, votes close. The story in files:
//!
//! - what there is: `stock`, `agent`, `law`, `proposal`, `forum`, together a `society`, which is
//!   read from and written to documents;
//! - what an agent may do: an `action`, made true by `rules`, or refused;
//! - what a `day` does;
//! - who decides: a model (`model`, `prompt`, `parse`) or, when none answers, a rule (`fallback`)
//!   that looks at the newest world and at `chance`, which is keyed by the world's seed;
//! - [`once()`] takes a single turn on request.
//!
//! The same seed and the same answers make the same history, whatever the pace and however many
//! turns are decided at once.

mod action;
mod agent;
mod chance;
mod day;
mod decision;
mod fallback;
mod forum;
mod law;
mod model;
mod once;
mod parse;
mod phrases;
mod prompt;
mod proposal;
mod rules;
mod society;
mod stock;
mod telling;
#[cfg(test)]
mod tests;
mod turn;

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use simops::host::{Outcome, Seeded, SimulationHost, Turn};
use simops::llm::Router;
use simops::store::World;
use simops::{Error, Result, async_trait};
use tracing::info;

use decision::Decision;
use model::Model;
pub use once::{OnceReport, once};
use society::Society;

/// The largest society that can be asked for. Every turn reads all of it.
pub const MAX_AGENTS: u32 = 1_000;

/// How a world begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommonsOptions {
    /// How many agents it begins with, 1 to [`MAX_AGENTS`]; they are numbered from 1.
    pub agents: u32,
    /// What its chance depends on.
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
    said_no_model: AtomicBool,
}

impl Commons {
    /// A world without models: every agent follows the rule.
    pub fn new(options: CommonsOptions) -> Self {
        Self { options, model: None, said_no_model: AtomicBool::new(false) }
    }

    /// The same world with agents that ask `router` what to do; without one they follow the rule.
    #[must_use]
    pub fn with_router(self, router: impl Into<Option<Router>>) -> Self {
        let router = router.into().filter(|router| !router.is_empty());
        Self { model: router.map(Model::new), ..self }
    }

    /// What the agent of `turn` does; model calls count for `run`.
    async fn choose(&self, turn: &Turn, run: Option<&str>) -> Result<Decision> {
        let Some(model) = &self.model else {
            if !self.said_no_model.swap(true, Ordering::Relaxed) {
                info!(world = self.name(), "no model provider; agents follow the rule");
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
        "commons"
    }

    async fn seed(&self) -> Result<Seeded> {
        let CommonsOptions { agents, seed } = self.options;
        if !(1..=MAX_AGENTS).contains(&agents) {
            return Err(Error::invalid("agents", format!("must be between 1 and {MAX_AGENTS}")));
        }
        let documents = Society::founded(agents, seed).documents()?;
        let result = json!({ "world": self.name(), "agents": agents, "seed": seed });
        Ok(Seeded { documents, result })
    }

    fn agents(&self, world: &World) -> Result<Vec<i64>> {
        Ok(Society::load(&world.documents)?.turn_order())
    }

    async fn decide(&self, turn: &Turn) -> Result<Value> {
        self.choose(turn, Some(&turn.run.run_id)).await?.to_value()
    }

    fn act(&self, turn: &Turn, decision: Value) -> Result<Outcome> {
        turn::take(turn, Decision::read(decision))
    }
}
