//! The agents of each run that are kept apart.

use async_trait::async_trait;

use super::MemoryStore;
use crate::store::AgentStore;
use crate::{AgentId, Result};

#[async_trait]
impl AgentStore for MemoryStore {
    async fn keep_agent(&self, run_id: &str, agent: &AgentId, limit: usize) -> Result<bool> {
        let mut data = self.data();
        let kept = data.run_agents.entry(run_id.to_owned()).or_default();
        if kept.contains(agent) {
            return Ok(true);
        }
        Ok(kept.len() < limit && kept.insert(agent.clone()))
    }
}
