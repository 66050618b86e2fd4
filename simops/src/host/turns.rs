//! Turns in flight: decided side by side, acted on one at a time in the order they began.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt, StreamExt};
use serde_json::Value;
use tracing::{debug, warn};

use super::{SimulationHost, Turn};
use crate::store::{RunStore, TurnCommit, World};
use crate::{Error, ErrorKind, Result};

/// How often a turn is acted on anew because another host changed the world meanwhile.
const MAX_ATTEMPTS: usize = 16;

/// The turns that have begun and not been acted on.
pub(super) struct Turns {
    host: Arc<dyn SimulationHost>,
    timeout: Duration,
    deciding: FuturesOrdered<BoxFuture<'static, (Turn, Result<Value>)>>,
    agents: Vec<i64>,
}

impl Turns {
    pub(super) fn new(host: Arc<dyn SimulationHost>, timeout: Duration) -> Self {
        Self { host, timeout, deciding: FuturesOrdered::new(), agents: Vec::new() }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.agents.len()
    }

    pub(super) fn is_acting(&self, agent: i64) -> bool {
        self.agents.contains(&agent)
    }

    /// Begins a turn: the host decides beside the turns begun before.
    pub(super) fn begin(&mut self, turn: Turn) {
        self.agents.push(turn.agent_id);
        let (host, timeout) = (Arc::clone(&self.host), self.timeout);
        let decide = async move {
            let deciding = AssertUnwindSafe(host.decide(&turn)).catch_unwind();
            let decision = match tokio::time::timeout(timeout, deciding).await {
                Ok(Ok(decision)) => decision,
                Ok(Err(_)) => Err(Error::internal("the host panicked")),
                Err(_) => Err(Error::internal("the turn took too long")),
            };
            (turn, decision)
        };
        self.deciding.push_back(decide.boxed());
    }

    /// The next turn whose decision is due; pending while there is none. Cancel safe.
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

/// Acts on a decision and commits what it changes; the world after it.
///
/// # Errors
/// `Stale` when the gate has moved; what the store reports. A defect of the host costs only
/// its turn.
pub(super) async fn act(
    (host, store): (&dyn SimulationHost, &dyn RunStore),
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
            warn!(agent = turn.agent_id, %error, "a turn was dropped");
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
                warn!(agent = turn.agent_id, reason, "a turn was dropped");
                return Ok(turn.world);
            }
        };
        let commit = TurnCommit {
            generation,
            epoch,
            expected_version: turn.world.version,
            documents: outcome.documents,
            events: outcome.events,
        };
        match store.commit_turn(&commit).await {
            Ok(version) => return Ok(Arc::new(after(&turn.world, commit, version))),
            Err(error) if error.kind() != ErrorKind::Stale => return Err(error),
            Err(error) => {
                let fresh = store.world(epoch).await?;
                if fresh.version == turn.world.version {
                    return Err(error);
                }
                debug!(agent = turn.agent_id, "another host moved the world; acting anew");
                turn.world = Arc::new(fresh);
            }
        }
    }
    Err(Error::unavailable("other hosts keep changing the world"))
}

/// `world` with the turn's documents in it.
fn after(world: &World, commit: TurnCommit, version: i64) -> World {
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
