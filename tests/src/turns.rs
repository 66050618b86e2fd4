//! Tasks that commit turns as fast as they can, as many hosts in one world do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use serde_json::json;
use simops::ErrorKind;
use simops::control::{Change, ControlState};
use simops::event::NewEvent;
use simops::ops::{Caller, Ops, OpsOptions, RunBody, StartRun, Writer};
use simops::run::DEFAULT_WORLD;
use simops::store::{Documents, RunStore, TurnCommit};
use simops::{SystemClock, control::Environment};
use tokio::task::JoinSet;

/// An operator of a store.
pub struct Operator {
    ops: Ops,
    caller: Caller,
}

impl Operator {
    /// Starts a run in a new world.
    ///
    /// # Panics
    /// When the store refuses it.
    pub async fn of_new_run(store: Arc<dyn RunStore>) -> Self {
        activate_world(&*store).await;
        let options = OpsOptions::of(Environment::Development);
        let ops = Ops::new(store, Arc::new(SystemClock), options);
        let operator =
            Self { ops, caller: Caller { actor: "operator".to_owned(), ..Caller::default() } };
        let start = StartRun { mode: Some("test".to_owned()), ..StartRun::default() };
        operator.writer().await.start_run(&start).await.expect("a run");
        operator
    }

    /// Pauses the run.
    ///
    /// # Panics
    /// When that is refused.
    pub async fn pause(&self) {
        self.writer().await.pause(&RunBody::default()).await.expect("a pause");
    }

    /// Resumes the run.
    ///
    /// # Panics
    /// When that is refused.
    pub async fn resume(&self) {
        self.writer().await.resume(&RunBody::default()).await.expect("a resumed run");
    }

    async fn writer(&self) -> Writer<'_> {
        self.ops.writer(&self.caller).await.expect("a writer")
    }
}

async fn activate_world(store: &dyn RunStore) {
    let now = Timestamp::now();
    let epoch = store.request_epoch(DEFAULT_WORLD, now).await.expect("an epoch");
    assert!(store.claim_epoch(epoch, "host").await.expect("an epoch"));
    store.finish_epoch(epoch, &Documents::new(), &json!({})).await.expect("a world");
    let state = store.load().await.expect("a state");
    let generation = state.generation + 1;
    let worlds = [(DEFAULT_WORLD.to_owned(), epoch)].into();
    let change = Change {
        expected_generation: state.generation,
        next: ControlState { generation, worlds, ..state },
        ..Change::default()
    };
    store.commit(&change, None).await.expect("a commit");
}

/// Tasks that commit turns, each under the newest gate and on the newest world that it has seen. They
/// end with this.
#[derive(Debug)]
pub struct Turns {
    committed: Arc<AtomicU64>,
    _tasks: JoinSet<()>,
}

impl Turns {
    /// One task per item of `stores`.
    ///
    /// # Panics
    /// Its tasks panic when a store fails.
    pub fn start(stores: impl IntoIterator<Item = Arc<dyn RunStore>>) -> Self {
        let committed = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        for store in stores {
            tasks.spawn(take_turns(store, Arc::clone(&committed)));
        }
        Self { committed, _tasks: tasks }
    }

    /// How many have been committed.
    pub fn committed(&self) -> u64 {
        self.committed.load(Ordering::Relaxed)
    }
}

async fn take_turns(store: Arc<dyn RunStore>, committed: Arc<AtomicU64>) {
    loop {
        let state = store.load().await.expect("a state");
        let (Some(run), Some(epoch)) = (state.run.as_ref(), state.world_epoch()) else { continue };
        let mut version = store.world(epoch).await.expect("a world").version;
        loop {
            let turn = TurnCommit {
                run_id: run.run_id.clone(),
                generation: run.gate_generation,
                epoch,
                expected_version: version,
                documents: [("turn".to_owned(), json!(version))].into(),
                events: vec![NewEvent::new("work", "An agent works", Timestamp::now())],
            };
            match store.commit_turn(&turn).await {
                Ok(next) => {
                    version = next;
                    committed.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) if error.kind() == ErrorKind::Stale => break,
                Err(error) => panic!("a turn failed: {error:?}"),
            }
        }
    }
}
