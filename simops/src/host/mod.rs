//! Embedding a simulation: implement [`SimulationHost`], run a [`Worker`].
//!
//! A host says how a world begins, who acts next, and what an agent's turn does. The worker does
//! the rest: it follows the run gate, paces turns, reports what it has confirmed, builds worlds
//! when asked to, and commits each turn's documents and events together.

mod beat;
mod pace;
mod seeding;
mod turns;
pub mod worker;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;

use crate::Result;
use crate::event::NewEvent;
use crate::run::RunRecord;
use crate::settings::Effective;
use crate::store::{Documents, World};

pub use worker::{Worker, WorkerOptions};

/// A decision may take so long unless a worker is told otherwise.
pub(crate) const TURN_TIMEOUT: Duration = Duration::from_secs(60);

/// A simulation under run control.
///
/// # Contract
/// - Hosts keep no state of their own: what a turn changes it returns as documents, which are
///   stored together with its events, or not at all.
/// - [`decide`](Self::decide) runs beside other turns and may take long (it calls models).
///   [`act`](Self::act) is called one turn at a time, in the order in which the turns began, on the
///   newest world: with the same seed and the same decisions the history is the same.
/// - A turn that began before a pause, stop or reset is dropped: `act` is not called for it, or
///   what it returns is refused.
#[async_trait]
pub trait SimulationHost: Send + Sync + 'static {
    /// The simulation's name, for logs and host ids.
    fn name(&self) -> &str;

    /// Builds the documents of a new world, and what to tell the operator of it.
    ///
    /// # Errors
    /// The reason is shown to the operator, and the old world stays.
    async fn seed(&self) -> Result<Seeded>;

    /// The agents that may act, in the order in which they should. The first that is not in a turn
    /// is next, so put those that have waited longest first: a fixed order starves the last.
    ///
    /// # Errors
    /// The worker logs it and asks again a turn later.
    fn agents(&self, world: &World) -> Result<Vec<i64>>;

    /// What the agent wants to do, seen from the world at the turn's begin.
    ///
    /// # Errors
    /// The turn is dropped and logged. What may fail (a model) should fall back instead.
    async fn decide(&self, _turn: &Turn) -> Result<Value> {
        Ok(Value::Null)
    }

    /// What the decision changes in `turn.world`, the newest world.
    ///
    /// # Errors
    /// The turn is dropped and logged.
    fn act(&self, turn: &Turn, decision: Value) -> Result<Outcome>;
}

/// A world just built.
#[derive(Debug, Clone, PartialEq)]
pub struct Seeded {
    /// Its documents.
    pub documents: Documents,
    /// What to tell the operator.
    pub result: Value,
}

/// What a turn changes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outcome {
    /// Documents to write; null removes one.
    pub documents: Documents,
    /// What happened.
    pub events: Vec<NewEvent>,
}

/// One turn of one agent.
#[derive(Debug, Clone)]
pub struct Turn {
    /// Whose turn it is.
    pub agent_id: i64,
    /// The run it belongs to.
    pub run: Arc<RunRecord>,
    /// The world: as it was at the turn's begin for `decide`, the newest for `act`.
    pub world: Arc<World>,
    /// The settings.
    pub settings: Arc<Effective>,
    /// When it began.
    pub now: Timestamp,
    /// A decision that takes longer is dropped.
    pub timeout: Duration,
    /// The gate generation it was begun under.
    pub(crate) gate_generation: u64,
    /// The gate generation now.
    pub(crate) gate: watch::Receiver<u64>,
}

impl Turn {
    /// A turn outside a worker: for tests, and for a single turn on request.
    pub fn detached(
        agent_id: i64,
        run: RunRecord,
        world: World,
        settings: Effective,
        now: Timestamp,
    ) -> Self {
        Self {
            agent_id,
            run: Arc::new(run),
            world: Arc::new(world),
            settings: Arc::new(settings),
            now,
            timeout: TURN_TIMEOUT,
            gate_generation: 0,
            gate: watch::channel(0).1,
        }
    }

    /// Whether the turn still counts. Once it does not, begin nothing new: no model call.
    pub fn is_current(&self) -> bool {
        *self.gate.borrow() == self.gate_generation
    }

    /// Completes once the turn no longer counts: whatever it waits for is in vain. Cancel safe.
    pub async fn cancelled(&self) {
        let mut gate = self.gate.clone();
        // Without a worker nothing moves the gate.
        if gate.wait_for(|generation| *generation != self.gate_generation).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
