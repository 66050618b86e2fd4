//! Embedding a simulation: implement [`SimulationHost`] and run a [`Worker`].
//!
//! A host defines how a world begins, which agent acts next, and what a turn does. The worker does
//! the rest: it follows the run gate, paces turns, acknowledges control changes, builds requested
//! worlds, and commits each turn's documents and events in one transaction.

mod heartbeat;
mod pacing;
mod seeding;
mod turns;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;

use crate::event::NewEvent;
use crate::run::{DEFAULT_WORLD, RunRecord};
use crate::settings::Effective;
use crate::store::{Documents, World};
use crate::{AgentId, Result};

pub use worker::{Worker, WorkerOptions};

/// The default time-out of a decision.
pub(crate) const TURN_TIMEOUT: Duration = Duration::from_secs(60);

/// A simulation under run control.
///
/// # Contract
/// - Hosts keep no state of their own. A turn returns its changes as documents, which are stored
///   together with its events, or not at all.
/// - [`decide`](Self::decide) runs concurrently with other turns and may take long (it calls
///   models). [`act`](Self::act) is called for one turn at a time, in the order in which the turns
///   began, on the newest world: the same seed and the same decisions give the same history.
/// - A turn that began before a pause, stop or reset is dropped: `act` is not called for it, or its
///   result is refused.
#[async_trait]
pub trait SimulationHost: Send + Sync + 'static {
    /// The simulation's name, used in logs and host ids, and to start runs for this host.
    fn name(&self) -> &str;

    /// The name of the world that it builds and acts in, which has one open run at most. Hosts of
    /// different simulations in one deployment need worlds of different names.
    fn world(&self) -> &str {
        DEFAULT_WORLD
    }

    /// Builds the documents of a new world.
    ///
    /// # Errors
    /// The world cannot be built. The message is shown to the operator, and the current world stays.
    async fn seed(&self) -> Result<Seeded>;

    /// The agents that may act, in turn order. The first agent that is not in a turn acts next, so
    /// return those that have waited longest first: a fixed order would starve the last ones.
    ///
    /// # Errors
    /// The order cannot be determined. The worker logs the error and calls again one turn later.
    fn agents(&self, world: &World) -> Result<Vec<AgentId>>;

    /// Decides what the agent does, based on the world at the start of the turn.
    ///
    /// # Errors
    /// The decision failed. The worker logs the error and drops the turn, so a host whose models may
    /// fail should fall back to a rule instead.
    ///
    /// # Cancel safety
    /// The future is dropped when the turn's time-out expires or the worker shuts down.
    async fn decide(&self, _turn: &Turn) -> Result<Value> {
        Ok(Value::Null)
    }

    /// Computes the changes that the decision makes to `turn.world`, the newest world.
    ///
    /// # Errors
    /// The decision cannot be applied. The worker logs the error and drops the turn.
    fn act(&self, turn: &Turn, decision: Value) -> Result<Outcome>;
}

/// A newly built world.
#[derive(Debug, Clone, PartialEq)]
pub struct Seeded {
    /// Its documents.
    pub documents: Documents,
    /// A summary that is shown to the operator.
    pub result: Value,
}

/// The changes made by a turn.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outcome {
    /// Documents to write; null removes a document.
    pub documents: Documents,
    /// Events to append.
    pub events: Vec<NewEvent>,
}

/// One turn of one agent.
#[derive(Debug, Clone)]
pub struct Turn {
    /// The agent whose turn it is.
    pub agent_id: AgentId,
    /// The run it belongs to.
    pub run: Arc<RunRecord>,
    /// The world: as of the turn's start in `decide`, the newest one in `act`.
    pub world: Arc<World>,
    /// The settings in effect.
    pub settings: Arc<Effective>,
    /// When the turn began.
    pub now: Timestamp,
    /// The time-out of the decision.
    pub timeout: Duration,
    /// The gate generation of the run under which the turn began.
    pub(crate) gate_generation: u64,
    /// The current gate generation of the run that the worker drives.
    pub(crate) gate: watch::Receiver<u64>,
}

impl Turn {
    /// A turn outside of a worker: for tests, or for a single turn on request.
    pub fn detached(
        agent_id: impl Into<AgentId>,
        run: RunRecord,
        world: World,
        settings: Effective,
        now: Timestamp,
    ) -> Self {
        Self {
            agent_id: agent_id.into(),
            run: Arc::new(run),
            world: Arc::new(world),
            settings: Arc::new(settings),
            now,
            timeout: TURN_TIMEOUT,
            gate_generation: 0,
            gate: watch::channel(0).1,
        }
    }

    /// Whether the turn's result can still be committed. Once it returns false, begin no further work
    /// such as model calls.
    pub fn is_current(&self) -> bool {
        *self.gate.borrow() == self.gate_generation
    }

    /// Completes when the turn is cancelled: its result can no longer be committed.
    ///
    /// # Cancel safety
    /// The future may be dropped and created again at any time.
    pub async fn cancelled(&self) {
        let mut gate = self.gate.clone();
        // A detached turn has no worker, so it is never cancelled.
        if gate.wait_for(|generation| *generation != self.gate_generation).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
