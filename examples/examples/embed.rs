//! A minimal host whose agents count. Start it, then start a run on the same database:
//!
//! ```sh
//! cargo run -p simops-examples --example embed
//! DATABASE_URL=sqlite://embed.db cargo run -p simops-server -- --host none
//! ```

use std::sync::Arc;

use serde_json::{Value, json};
use simops::event::{NewEvent, RuntimeMode};
use simops::host::{Outcome, Seeded, SimulationHost, Turn, Worker};
use simops::store::{Documents, World};
use simops::{AgentId, Result, async_trait};
use simops_sqlite::SqliteStore;

struct Counters;

#[async_trait]
impl SimulationHost for Counters {
    fn name(&self) -> &str {
        "counters"
    }

    async fn seed(&self) -> Result<Seeded> {
        let documents = Documents::from([("count".to_owned(), json!(0))]);
        Ok(Seeded { documents, result: json!({ "agents": 3 }) })
    }

    fn agents(&self, world: &World) -> Result<Vec<AgentId>> {
        let next = usize::try_from(count(world)).unwrap_or(0);
        let name = |index| ["Ada", "Bo", "Cleo"][(next + index) % 3];
        Ok((0..3).map(|index| AgentId::from(name(index))).collect())
    }

    fn act(&self, turn: &Turn, _decision: Value) -> Result<Outcome> {
        let count = count(&turn.world) + 1;
        let event =
            NewEvent::new("count", format!("{} counts to {count}.", turn.agent_id), turn.now)
                .in_run(Some(&turn.run.run_id))
                .of_agent(turn.agent_id.clone())
                .as_action(RuntimeMode::DeterministicFallback);
        let documents = Documents::from([("count".to_owned(), json!(count))]);
        Ok(Outcome { documents, events: vec![event] })
    }
}

fn count(world: &World) -> i64 {
    world.documents.get("count").and_then(Value::as_i64).unwrap_or(0)
}

#[tokio::main]
async fn main() -> Result<()> {
    let store = Arc::new(SqliteStore::open("sqlite://embed.db").await?);
    let until_ctrl_c = async { drop(tokio::signal::ctrl_c().await) };
    Worker::new(store, Arc::new(Counters)).run(until_ctrl_c).await;
    Ok(())
}
