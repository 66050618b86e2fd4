//! How long a pause takes to reach a host: from the operator's call to the host's confirmation in
//! the store, on SQLite, with a host that takes turns as fast as it can; alone, and next to 199 other
//! open runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use simops::control::{Environment, HostState};
use simops::event::{NewEvent, RuntimeMode};
use simops::host::{Outcome, Seeded, SimulationHost, Turn, Worker, WorkerOptions};
use simops::ops::{Caller, Ops, OpsOptions, RunBody, StartRun};
use simops::run::{DEFAULT_WORLD, GATEWAY};
use simops::settings::Registry;
use simops::store::{RunStore, World};
use simops::{AgentId, Result, SystemClock, async_trait};
use simops_sqlite::SqliteStore;

struct Busy;

#[async_trait]
impl SimulationHost for Busy {
    fn name(&self) -> &str {
        "busy"
    }

    async fn seed(&self) -> Result<Seeded> {
        Ok(Seeded { documents: Default::default(), result: Value::Null })
    }

    fn agents(&self, _world: &World) -> Result<Vec<AgentId>> {
        Ok((1..=50).map(AgentId::from).collect())
    }

    fn act(&self, turn: &Turn, _decision: Value) -> Result<Outcome> {
        let event = NewEvent::new("work", "An agent works", turn.now)
            .in_run(Some(&turn.run.run_id))
            .of_agent(turn.agent_id.clone())
            .as_action(RuntimeMode::DeterministicFallback);
        let documents = [("count".to_owned(), json!(turn.world.version))].into();
        Ok(Outcome { documents, events: vec![event] })
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let dir = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", dir.path().join("gate.db").display());
    let store: Arc<dyn RunStore> = Arc::new(SqliteStore::open(&url).await.expect("a store"));
    let options = WorkerOptions { speed: 1e6, ..WorkerOptions::named("busy") };
    let worker = Worker::with(
        Arc::clone(&store),
        Arc::new(Busy),
        Arc::new(Registry::builtin()),
        Arc::new(SystemClock),
        options,
    );
    let (leave, left) = tokio::sync::oneshot::channel::<()>();
    let worker = tokio::spawn(worker.run(async move {
        let _ = left.await;
    }));
    let own_host = Some(("busy".to_owned(), DEFAULT_WORLD.to_owned()));
    let options = OpsOptions { own_host, ..OpsOptions::of(Environment::Development) };
    let ops = Ops::new(Arc::clone(&store), Arc::new(SystemClock), options);
    let caller = Caller { actor: "bench".to_owned(), ..Caller::default() };
    let start = StartRun { mode: Some("test".to_owned()), ..StartRun::default() };
    ops.writer(&caller).await.unwrap().start_run(&start).await.expect("a run");
    until(&store, HostState::Running).await;

    measure("alone", &ops, &store).await;
    for number in 1..200 {
        let (run_id, host) = (Some(format!("other-{number}")), Some(GATEWAY.to_owned()));
        let other = StartRun { run_id, host, ..start.clone() };
        ops.writer(&caller).await.unwrap().start_run(&other).await.expect("a run");
    }
    measure("next to 199 open runs", &ops, &store).await;
    let _ = leave.send(());
    let _ = worker.await;
}

async fn measure(what: &str, ops: &Ops, store: &Arc<dyn RunStore>) {
    let caller = Caller { actor: "bench".to_owned(), ..Caller::default() };
    let none = RunBody::default();
    let mut times = Vec::new();
    for _ in 0..500 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let began = Instant::now();
        ops.writer(&caller).await.unwrap().pause(&none).await.expect("a pause");
        until(store, HostState::Paused).await;
        times.push(began.elapsed());
        ops.writer(&caller).await.unwrap().resume(&none).await.expect("a resume");
        until(store, HostState::Running).await;
    }
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    println!(
        "pause called to confirmed by the host, {what}: p50 {:?}, p99 {:?}, max {:?}",
        at(50),
        at(99),
        at(100)
    );
}

async fn until(store: &Arc<dyn RunStore>, wanted: HostState) {
    let mut revision = store.watch();
    loop {
        revision.mark_unchanged();
        let state = store.load().await.expect("a state");
        let gate = state.run.map_or(0, |run| run.gate_generation);
        let hosts = store.hosts(jiff::Timestamp::UNIX_EPOCH).await.expect("hosts");
        if hosts.iter().any(|host| host.generation >= gate && host.state == wanted) {
            return;
        }
        let _ = tokio::time::timeout(Duration::from_millis(100), revision.changed()).await;
    }
}
