//! The world run by a real worker.

use std::sync::Arc;
use std::time::Duration;

use simops::control::Environment;
use simops::host::{Outcome, Seeded, Worker, WorkerOptions};
use simops::llm::ChatRequest;
use simops::ops::{Caller, Ops, OpsOptions, StartRun};
use simops::store::{ControlStore, EventFilter, EventStore, RunStore};
use simops::testing::MemoryStore;
use simops::{AgentId, Result, SystemClock, async_trait};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::*;

const DEADLINE: Duration = Duration::from_secs(60);
/// Enough for several days, with hunger and new agents.
const TURNS: usize = 150;

/// A world whose model responds by agent and turn number only.
fn with_scripted_model() -> Commons {
    let script = |request: &ChatRequest| {
        let first = request.prompt.lines().next().unwrap_or_default();
        let numbers = first.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok());
        let [agent, _day, turn] = numbers.collect::<Vec<u64>>()[..] else {
            panic!("the prompt does not name the agent: {first}")
        };
        Ok(match (agent + turn) % 4 {
            0 => r#"{"action":"work","resource":"food"}"#.to_owned(),
            1 => r#"{"action":"work","resource":"energy"}"#.to_owned(),
            2 => format!(r#"{{"action":"gift","to":{turn},"resource":"materials","amount":1}}"#),
            _ => "no action at all".to_owned(),
        })
    };
    let store = Arc::new(MemoryStore::new());
    Commons::default().with_router(scripted_router(&store, "by-turn", script))
}

/// The world, with decisions that take different times.
struct Delayed(Commons);

#[async_trait]
impl SimulationHost for Delayed {
    fn name(&self) -> &str {
        self.0.name()
    }

    async fn seed(&self) -> Result<Seeded> {
        self.0.seed().await
    }

    fn agents(&self, world: &World) -> Result<Vec<AgentId>> {
        self.0.agents(world)
    }

    async fn decide(&self, turn: &Turn) -> Result<Value> {
        let late = turn.agent_id.number().unwrap().cast_unsigned() * 7
            + turn.world.version.cast_unsigned();
        sleep(Duration::from_micros(late % 5 * 400)).await;
        self.0.decide(turn).await
    }

    fn act(&self, turn: &Turn, decision: Value) -> Result<Outcome> {
        self.0.act(turn, decision)
    }
}

/// Runs a worker on `store` until `done`.
async fn work_until(
    store: &Arc<MemoryStore>,
    commons: Commons,
    concurrency: usize,
    done: impl AsyncFn() -> bool,
) {
    let options = WorkerOptions { concurrency, speed: 1e6, ..WorkerOptions::named("commons") };
    let shared: Arc<dyn RunStore> = store.clone();
    let worker = Worker::with(
        shared,
        Arc::new(Delayed(commons)),
        Arc::new(Registry::builtin()),
        Arc::new(SystemClock),
        options,
    );
    let (stop, stopped) = oneshot::channel::<()>();
    let until = async {
        timeout(DEADLINE, async {
            while !done().await {
                sleep(Duration::from_millis(2)).await;
            }
        })
        .await
        .expect("the worker made no progress");
        drop(stop);
    };
    tokio::join!(worker.run(async { drop(stopped.await) }), until);
}

/// Lets a worker build and show the first world.
pub(super) async fn until_idle(store: &Arc<MemoryStore>) {
    let shown = async || store.load().await.unwrap().world_epoch().is_some();
    work_until(store, Commons::default(), 1, shown).await;
}

/// The first events of a run, oldest first, without ids and times.
async fn history_of(commons: Commons, concurrency: usize) -> Vec<Value> {
    let store = Arc::new(MemoryStore::new());
    until_idle_with(&store, 6).await;
    let shared: Arc<dyn RunStore> = store.clone();
    let ops = Ops::new(shared, Arc::new(SystemClock), OpsOptions::of(Environment::Development));
    let request = StartRun {
        mode: Some("test".to_owned()),
        run_id: Some("run-1".to_owned()),
        ..StartRun::default()
    };
    ops.writer(&Caller::default()).await.unwrap().start_run(&request).await.unwrap();
    let actions = async || {
        let filter = EventFilter { limit: 10_000, ..EventFilter::default() };
        let mut events = store.events(&filter).await.unwrap().items;
        events.reverse();
        events.retain(|event| event.metadata.contains_key("category"));
        events
    };
    let enough = async || {
        let events = actions().await;
        events.iter().filter(|event| event.metadata.contains_key("runtime")).count() >= TURNS
    };
    work_until(&store, commons, concurrency, enough).await;
    let events = actions().await.into_iter().map(|mut event| {
        // Token counts depend on the world at the turn's start, and so on the pace.
        if let Some(Value::Object(runtime)) = event.metadata.get_mut("runtime") {
            runtime.remove("calls");
        }
        json!([event.agent_id, event.event_type, event.description, event.metadata])
    });
    events.take(TURNS).collect()
}

async fn until_idle_with(store: &Arc<MemoryStore>, agents: u32) {
    let commons = Commons::new(CommonsOptions { agents, seed: 42 });
    let shown = async || store.load().await.unwrap().world_epoch().is_some();
    work_until(store, commons, 1, shown).await;
}

fn assert_same(sequential: &[Value], concurrent: &[Value]) {
    for (index, (sequential, concurrent)) in sequential.iter().zip(concurrent).enumerate() {
        assert_eq!(sequential, concurrent, "event {index}");
    }
    assert_eq!(sequential.len(), concurrent.len());
}

#[tokio::test]
async fn the_fallback_rule_gives_the_same_history_at_any_concurrency() {
    let sequential = history_of(Commons::default(), 1).await;
    let concurrent = history_of(Commons::default(), 4).await;
    assert_same(&sequential, &concurrent);
}

#[tokio::test]
async fn a_model_with_the_same_responses_gives_the_same_history() {
    let sequential = history_of(with_scripted_model(), 1).await;
    let concurrent = history_of(with_scripted_model(), 4).await;
    assert_same(&sequential, &concurrent);
    let by_model = sequential.iter().filter(|e| e[3]["runtime"]["mode"] == "checkpoint").count();
    assert!(by_model > TURNS / 4, "{by_model} actions by the model");
}
