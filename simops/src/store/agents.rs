//! The agents of each run that are kept apart.

use async_trait::async_trait;

use crate::{AgentId, Result};

/// Storage of the agents of runs.
#[async_trait]
pub trait AgentStore: Send + Sync {
    /// Adds an agent to those of a run, unless it is one of them or the run has `limit` of them. Returns
    /// whether it is one of them then. What belongs to no run has the empty `run_id`.
    ///
    /// However many callers add agents at once, a run has at most `limit`. An agent that was added stays.
    async fn keep_agent(&self, run_id: &str, agent: &AgentId, limit: usize) -> Result<bool>;
}
