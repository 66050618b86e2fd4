//! Turns in flight: decided concurrently, acted on one at a time in the order in which they began.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt, StreamExt};
use serde_json::Value;
use tracing::{debug, warn};

use super::{SimulationHost, Turn};
use crate::roster::AgentRoster;
use crate::store::{RunStore, TurnCommit, World};
use crate::{AgentId, Error, ErrorKind, Result};

/// The most attempts to commit a turn while other hosts change the world.
const MAX_ATTEMPTS: usize = 16;

/// The turns that have begun and are not acted on yet.
pub(super) struct Turns {
    host: Arc<dyn SimulationHost>,
    timeout: Duration,
    deciding: FuturesOrdered<BoxFuture<'static, (Turn, Result<Value>)>>,
    agents: Vec<AgentId>,
}

impl Turns {
    pub(super) fn new(host: Arc<dyn SimulationHost>, timeout: Duration) -> Self {
        Self { host, timeout, deciding: FuturesOrdered::new(), agents: Vec::new() }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.agents.len()
    }

    pub(super) fn has_turn(&self, agent: &AgentId) -> bool {
        self.agents.contains(agent)
    }

    /// Begins a turn. The host decides it concurrently with the others.
    pub(super) fn begin(&mut self, turn: Turn) {
        self.agents.push(turn.agent_id.clone());
        let (host, timeout) = (Arc::clone(&self.host), self.timeout);
        let decide = async move {
            let deciding = AssertUnwindSafe(host.decide(&turn)).catch_unwind();
            let decision = match tokio::time::timeout(timeout, deciding).await {
                Ok(Ok(decision)) => decision,
                Ok(Err(_)) => Err(Error::internal("the host panicked")),
                Err(_) => Err(Error::internal("the turn timed out")),
            };
            (turn, decision)
        };
        self.deciding.push_back(decide.boxed());
    }

    /// The next turn in order, with its decision; pending while there is none. Cancel safe.
    pub(super) async fn decided(&mut self) -> (Turn, Result<Value>) {
        match self.deciding.next().await {
            Some(decided) => {
                self.agents.retain(|agent| *agent != decided.0.agent_id);
                decided
            }
            None => std::future::pending().await,
        }
    }
}

/// Acts on a decision, commits its changes, and returns the world after them. An error or panic of the
/// host drops only this turn.
///
/// # Errors
/// `Stale` if the run gate moved since the turn began, or any error of the store.
pub(super) async fn act(
    (host, store, agents): (&dyn SimulationHost, &dyn RunStore, &AgentRoster),
    mut turn: Turn,
    decision: Result<Value>,
    epoch: i64,
    generation: u64,
    world: &Arc<World>,
) -> Result<Arc<World>> {
    turn.world = Arc::clone(world);
    let decision = match decision {
        Ok(decision) => decision,
        Err(error) => {
            warn!(code = "turn_dropped", agent = %turn.agent_id, %error, "turn dropped");
            return Ok(turn.world);
        }
    };
    for _ in 0..MAX_ATTEMPTS {
        let acting = AssertUnwindSafe(|| host.act(&turn, decision.clone()));
        let outcome = match catch_unwind(acting) {
            Ok(Ok(outcome)) => outcome,
            failed => {
                let reason = match failed {
                    Ok(Err(error)) => error.to_string(),
                    _ => "the host panicked".to_owned(),
                };
                warn!(code = "turn_dropped", agent = %turn.agent_id, reason, "turn dropped");
                return Ok(turn.world);
            }
        };
        let mut events = outcome.events;
        agents.apply(&mut events).await?;
        let commit = TurnCommit {
            run_id: turn.run.run_id.clone(),
            generation,
            epoch,
            expected_version: turn.world.version,
            documents: outcome.documents,
            events,
        };
        match store.commit_turn(&commit).await {
            Ok(version) => return Ok(Arc::new(with_commit(&turn.world, commit, version))),
            Err(error) if error.kind() != ErrorKind::Stale => return Err(error),
            Err(error) => {
                let newest = store.world(epoch).await?;
                if newest.version == turn.world.version {
                    return Err(error);
                }
                debug!(agent = %turn.agent_id, "another host changed the world; retrying the turn");
                turn.world = Arc::new(newest);
            }
        }
    }
    Err(Error::unavailable("other hosts keep changing the world"))
}

/// `world` with the commit's documents applied.
fn with_commit(world: &World, commit: TurnCommit, version: i64) -> World {
    let mut documents = world.documents.clone();
    for (name, document) in commit.documents {
        if document.is_null() {
            documents.remove(&name);
        } else {
            documents.insert(name, document);
        }
    }
    World { version, documents }
}
