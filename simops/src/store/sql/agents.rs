//! The agents of each run that are kept apart.

use async_trait::async_trait;

use super::{SqlOperation, SqlStore, SqlTx, Statement, count};
use crate::store::AgentStore;
use crate::{AgentId, Result};

#[async_trait]
impl<S: SqlStore> AgentStore for S {
    async fn keep_agent(&self, run_id: &str, agent: &AgentId, limit: usize) -> Result<bool> {
        let keep = Keep { run_id: run_id.to_owned(), agent: agent.to_string(), limit };
        // A read holds up no writer, also when a run is full and clients bring ever new names.
        if self.fetch_optional::<i64>(keep.place()).await?.is_some() {
            return Ok(true);
        }
        if self.fetch_one::<i64>(keep.kept()).await? >= count(limit) {
            return Ok(false);
        }
        self.write(keep).await
    }
}

struct Keep {
    run_id: String,
    agent: String,
    limit: usize,
}

impl Keep {
    fn place(&self) -> Statement {
        Statement::new("SELECT place FROM run_agents WHERE run_id = $1 AND agent = $2")
            .bind(&self.run_id)
            .bind(&self.agent)
    }

    /// The number of the run's agents, whose places are 1, 2, ….
    fn kept(&self) -> Statement {
        Statement::new("SELECT coalesce(max(place), 0) FROM run_agents WHERE run_id = $1")
            .bind(&self.run_id)
    }

    /// Takes the place after those of the other agents.
    fn insert(&self) -> Statement {
        Statement::new(
            "INSERT INTO run_agents (run_id, agent, place) \
             SELECT $1, $2, coalesce(max(place), 0) + 1 FROM run_agents WHERE run_id = $1 \
             HAVING coalesce(max(place), 0) < $3 ON CONFLICT DO NOTHING",
        )
        .bind(&self.run_id)
        .bind(&self.agent)
        .bind(count(self.limit))
    }
}

impl SqlOperation for Keep {
    type Output = bool;

    fn is_repeatable(&self) -> bool {
        true
    }

    async fn run<T: SqlTx>(&self, tx: &mut T) -> Result<bool, T::Error> {
        // Another transaction may have taken the place or added the agent. It has committed then.
        loop {
            if tx.execute(&self.insert()).await? == 1 {
                return Ok(true);
            }
            if tx.fetch_optional::<i64>(&self.place()).await?.is_some() {
                return Ok(true);
            }
            let kept = tx.fetch_optional::<i64>(&self.kept()).await?.unwrap_or(0);
            if kept >= count(self.limit) {
                return Ok(false);
            }
        }
    }
}
