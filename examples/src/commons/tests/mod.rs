//! A world without a worker: turns are taken one after another, in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod history;
mod invariants;
mod models;
mod once;
mod possible;
mod worker;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simops::event::NewEvent;
use simops::host::{SimulationHost, Turn};
use simops::llm::{ChatRequest, Limits, Router, ScriptedProvider};
use simops::run::RunRecord;
use simops::settings::{Effective, Overrides, Registry};
use simops::store::{Documents, World};
use simops::testing::MemoryStore;
use simops::usage::PriceBook;
use simops::{Result, SystemClock};

use super::action::Action;
use super::decision::Decision;
use super::event_log::kind;
use super::society::Society;
use super::stock::Resource;
use super::{Commons, CommonsOptions};

/// A world and its events.
struct Play {
    commons: Commons,
    world: World,
    events: Vec<NewEvent>,
}

impl Play {
    fn new(agents: u32, seed: u64) -> Self {
        let society = Society::new(agents, seed);
        let world = World { version: 0, documents: society.documents().unwrap() };
        let commons = Commons::new(CommonsOptions { agents, seed });
        Self { commons, world, events: Vec::new() }
    }

    fn society(&self) -> Society {
        Society::load(&self.world.documents).unwrap()
    }

    /// Changes the world directly.
    fn edit(&mut self, edit: impl FnOnce(&mut Society)) {
        let mut society = self.society();
        edit(&mut society);
        self.world.documents = society.documents().unwrap();
    }

    fn turn_of(&self, agent: i64) -> Turn {
        turn_in(&self.world, agent)
    }

    /// The next agent's turn, decided by the fallback rule.
    fn step(&mut self) -> Vec<NewEvent> {
        let agent = self.commons.agents(&self.world).unwrap()[0].number().unwrap();
        self.decide(agent, Decision::rule("test").to_value().unwrap())
    }

    /// A turn in which a model chooses `action`.
    fn act(&mut self, agent: i64, action: Action) -> Vec<NewEvent> {
        let calls = super::decision::Calls::default();
        self.decide(agent, Decision::Model { action, calls }.to_value().unwrap())
    }

    /// A turn with any decision.
    fn decide(&mut self, agent: i64, decision: Value) -> Vec<NewEvent> {
        let outcome = self.commons.act(&self.turn_of(agent), decision).unwrap();
        for (name, document) in outcome.documents {
            assert_ne!(self.world.documents.get(&name), Some(&document), "{name} is unchanged");
            if document.is_null() {
                self.world.documents.remove(&name);
            } else {
                self.world.documents.insert(name, document);
            }
        }
        self.world.version += 1;
        self.events.extend(outcome.events.clone());
        outcome.events
    }

    fn run_days(&mut self, days: i64) {
        for _ in 0..days {
            while !self.step().iter().any(|event| event.event_type == kind::DAY_ENDED) {}
        }
    }

    fn count(&self, event_type: &str) -> usize {
        self.events.iter().filter(|event| event.event_type == event_type).count()
    }
}

fn turn_in(world: &World, agent: i64) -> Turn {
    let settings = Effective::of(&Registry::builtin(), &Overrides::new());
    let now = epoch() + SignedDuration::from_secs(world.version);
    Turn::detached(agent, run(), world.clone(), settings, now)
}

fn book() -> Arc<PriceBook> {
    Arc::new(PriceBook::shipped().unwrap())
}

/// A router with one scripted route that counts in `store`.
fn scripted_router(
    store: &Arc<MemoryStore>,
    model: &str,
    script: impl Fn(&ChatRequest) -> Result<String> + Send + Sync + 'static,
) -> Router {
    Router::builder(store.clone(), book(), Arc::new(SystemClock))
        .provider(Arc::new(ScriptedProvider::new(script)), Limits::default())
        .route("scripted", model)
        .build()
        .unwrap()
}

fn epoch() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn run() -> RunRecord {
    RunRecord {
        run_id: "run-1".to_owned(),
        protocol_version: "protocol_v1".to_owned(),
        world_epoch: Some(1),
        started_at: epoch(),
        started_by: "test".to_owned(),
        ..RunRecord::default()
    }
}

/// The total amount of each resource, owned by agents and the pool.
fn total_goods(society: &Society) -> [u64; 3] {
    Resource::ALL.map(|resource| {
        let agents = society.agents.values().map(|agent| u64::from(agent.has(resource)));
        agents.sum::<u64>() + u64::from(society.common.pool.get(resource))
    })
}

/// An event without its id and time.
fn without_id(event: &NewEvent) -> Value {
    json!([event.run_id, event.agent_id, event.event_type, event.description, event.metadata])
}

fn history(documents: &Documents, events: &[NewEvent]) -> (Documents, Vec<Value>) {
    (documents.clone(), events.iter().map(without_id).collect())
}
