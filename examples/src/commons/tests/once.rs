//! One turn on request.

use std::sync::{Arc, Barrier};

use simops::control::{Environment, Write};
use simops::ops::{Caller, Ops, OpsOptions, RunBody, StartRun};
use simops::store::{EventFilter, EventStore, RunStore, UsageFilter, UsageStore, WorldStore};
use simops::testing::MemoryStore;
use simops::{ErrorKind, SystemClock};

use super::super::{OnceReport, once};
use super::*;

/// A setup whose model waits at `barrier` for `waits` times, then chooses to rest.
fn waiting(barrier: &Arc<Barrier>, waits: usize) -> Setup {
    let barrier = Arc::clone(barrier);
    let mut setup = Setup::new();
    let router = scripted_router(&setup.store, "waiting", move |_| {
        for _ in 0..waits {
            barrier.wait();
        }
        Ok(r#"{"action":"rest"}"#.to_owned())
    });
    setup.commons = setup.commons.with_router(router);
    setup
}

struct Setup {
    store: Arc<MemoryStore>,
    commons: Commons,
    registry: Registry,
    ops: Ops,
}

impl Setup {
    fn new() -> Self {
        let store = Arc::new(MemoryStore::new());
        let shared: Arc<dyn RunStore> = store.clone();
        let options = OpsOptions::of(Environment::Development);
        Self {
            store,
            commons: Commons::default(),
            registry: Registry::builtin(),
            ops: Ops::new(shared, Arc::new(SystemClock), options),
        }
    }

    async fn once(&self, agent: i64, dry_run: bool) -> simops::Result<OnceReport> {
        let writer = self.ops.writer(&Caller::default()).await?;
        let permit = if dry_run { None } else { Some(writer.permit(Write::TakeTurn)?) };
        once(&*self.store, &self.commons, &self.registry, &agent.into(), permit).await
    }

    async fn refused(&self, agent: i64, dry_run: bool) -> (ErrorKind, String) {
        let error = self.once(agent, dry_run).await.unwrap_err();
        (error.kind(), error.detail().to_owned())
    }

    async fn pause(&self) {
        let writer = self.ops.writer(&Caller::default()).await.unwrap();
        writer.pause(&RunBody::default()).await.unwrap();
    }

    async fn resume(&self) {
        let writer = self.ops.writer(&Caller::default()).await.unwrap();
        writer.resume(&RunBody::default()).await.unwrap();
    }

    async fn start(&self) {
        let request = StartRun {
            mode: Some("test".to_owned()),
            run_id: Some("run-7".to_owned()),
            ..StartRun::default()
        };
        self.ops.writer(&Caller::default()).await.unwrap().start_run(&request).await.unwrap();
    }

    /// Builds the first world, as a worker does when it starts.
    async fn build_world(&self) {
        super::worker::until_idle(&self.store).await;
    }

    async fn events_of_agents(&self) -> usize {
        let filter = EventFilter { limit: 500, ..EventFilter::default() };
        let events = self.store.events(&filter).await.unwrap().items;
        events.iter().filter(|event| event.agent_id.is_some()).count()
    }
}

#[tokio::test]
async fn a_dry_run_works_on_an_empty_database_and_stores_nothing() {
    let setup = Setup::new();
    let report = setup.once(7, true).await.unwrap();
    assert_eq!((report.agent_id, report.run_id.as_deref(), report.dry_run), (7, None, true));
    assert_eq!(report.decision["source"], "rule");
    assert_eq!(report.events[0].agent_id, Some(7.into()));
    assert!(report.documents_changed.contains(&"agent/007".to_owned()));
    assert_eq!(setup.events_of_agents().await, 0);
    assert_eq!(serde_json::to_value(&report).unwrap()["run_id"], Value::Null);
}

#[tokio::test]
async fn a_real_turn_needs_an_open_run_that_is_not_paused() {
    let setup = Setup::new();
    let (kind, detail) = setup.refused(1, false).await;
    assert_eq!(kind, ErrorKind::Conflict);
    assert!(detail.contains("no run is open"), "{detail}");

    setup.build_world().await;
    setup.start().await;
    setup.pause().await;
    let (kind, detail) = setup.refused(1, false).await;
    assert_eq!(kind, ErrorKind::Conflict);
    assert!(detail.contains("paused"), "{detail}");
    assert!(setup.once(1, true).await.is_ok());
    assert_eq!(setup.events_of_agents().await, 0);

    setup.resume().await;
    let report = setup.once(1, false).await.unwrap();
    assert_eq!(report.run_id.as_deref(), Some("run-7"));
    assert_eq!(setup.events_of_agents().await, 1);
    let epoch = setup.ops.store().load().await.unwrap().world_epoch().unwrap();
    let world = setup.store.world(epoch).await.unwrap();
    assert_eq!(Society::load(&world.documents).unwrap().agents[&1].turns, 1);
}

#[tokio::test]
async fn an_unknown_agent_is_refused_even_in_a_dry_run() {
    let setup = Setup::new();
    for agent in [0, -1, 51] {
        let (kind, detail) = setup.refused(agent, true).await;
        assert_eq!(kind, ErrorKind::NotFound);
        assert!(detail.contains(&agent.to_string()), "{detail}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_turns_are_both_taken() {
    let barrier = Arc::new(Barrier::new(2));
    let setup = Arc::new(waiting(&barrier, 1));
    setup.build_world().await;
    setup.start().await;
    let both = [1, 2].map(|agent| {
        let setup = Arc::clone(&setup);
        tokio::spawn(async move { setup.once(agent, false).await })
    });
    for (turn, agent) in both.into_iter().zip([1, 2]) {
        assert_eq!(turn.await.unwrap().unwrap().events[0].agent_id, Some(agent.into()));
    }
    assert_eq!(setup.events_of_agents().await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_pause_during_the_turn_refuses_it() {
    let barrier = Arc::new(Barrier::new(2));
    let setup = Arc::new(waiting(&barrier, 2));
    setup.build_world().await;
    setup.start().await;
    let deciding = Arc::clone(&setup);
    let turn = tokio::spawn(async move { deciding.refused(1, false).await });
    barrier.wait();
    setup.pause().await;
    barrier.wait();
    assert_eq!(turn.await.unwrap().0, ErrorKind::Conflict);
    assert_eq!(setup.events_of_agents().await, 0);
}

#[tokio::test]
async fn a_dry_runs_call_is_charged_but_not_recorded_for_the_run() {
    let mut setup = Setup::new();
    let router = scripted_router(&setup.store, "m", |_| Ok(r#"{"action":"rest"}"#.to_owned()));
    setup.commons = setup.commons.with_router(router);
    setup.build_world().await;
    setup.start().await;
    setup.once(1, true).await.unwrap();
    setup.once(1, false).await.unwrap();
    let rows = setup.store.usage_rows(&UsageFilter::default(), 9).await.unwrap().items;
    let runs: Vec<_> = rows.iter().map(|row| row.run_id.as_deref()).collect();
    assert_eq!(runs, [None, Some("run-7")]);
}
