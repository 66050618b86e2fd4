//! One turn on request, for `simops-cli agent once`.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use simops::control::ControlState;
use simops::event::NewEvent;
use simops::host::{SimulationHost, Turn};
use simops::ops::WritePermit;
use simops::run::{RunGate, RunRecord};
use simops::settings::Registry;
use simops::store::{RunStore, TurnCommit, World};
use simops::{AgentId, Clock, Error, ErrorKind, Result, SystemClock};

use super::Commons;
use super::society::Society;

/// The most attempts to commit the turn while workers change the world.
const MAX_ATTEMPTS: usize = 16;
/// The run id of a dry run when no run is open.
const PLACEHOLDER_RUN_ID: &str = "dry-run";

/// The result of a turn on request.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OnceReport {
    /// The number of the agent that took the turn.
    pub agent_id: i64,
    /// The number as text.
    pub agent: String,
    /// The open run; null for a dry run without one.
    pub run_id: Option<String>,
    /// Whether nothing was stored.
    pub dry_run: bool,
    /// The decision, and whether a model or the fallback rule made it.
    pub decision: Value,
    /// The events of the turn; a dry run does not store them.
    pub events: Vec<NewEvent>,
    /// The names of the documents that the turn changes; a dry run does not store them.
    pub documents_changed: Vec<String>,
}

/// Takes one turn of `agent` in the current world; workers may run at the same time. Without a
/// `permit` it is a dry run: it stores nothing except the cost of its model calls, needs no run, and
/// builds a world in memory if there is none.
///
/// # Errors
/// - `Conflict` if no run is open, the run is paused, it was paused or stopped during the turn, or
///   the agent is dead;
/// - `NotFound` if the agent does not exist, as one that has a name;
/// - `Unavailable` if workers keep changing the world;
/// - any error of the store.
///
/// # Cancel safety
/// A dropped call may or may not have stored its turn; it never stores half of one.
pub async fn once(
    store: &dyn RunStore,
    commons: &Commons,
    registry: &Registry,
    agent: &AgentId,
    permit: Option<WritePermit>,
) -> Result<OnceReport> {
    let dry_run = permit.is_none();
    let Some(agent) = agent.number() else {
        let detail =
            format!("there is no agent {agent}: the agents of the reference world are numbers");
        return Err(Error::not_found(detail));
    };
    let state = store.load().await?;
    let run = run_of(&state, commons);
    if !dry_run {
        check_open(run)?;
    }
    let world = match state.worlds.get(commons.world()).copied() {
        Some(epoch) => store.world(epoch).await?,
        None if dry_run => World { version: 0, documents: commons.seed().await?.documents },
        None => {
            return Err(Error::conflict("there is no world yet; start a worker, which builds one"));
        }
    };
    let now = SystemClock.now();
    let run_id = run.map(|run| run.run_id.clone());
    let run = run.cloned().unwrap_or_else(|| {
        let run_id = PLACEHOLDER_RUN_ID.to_owned();
        RunRecord { run_id, started_at: now, ..RunRecord::default() }
    });
    let mut turn = Turn::detached(agent, run, world, state.effective(registry), now);
    check_living(&turn.world, agent)?;
    // A dry run's calls are charged and recorded, but not for the run.
    let recorded_for = run_id.as_deref().filter(|_| !dry_run);
    let decision = commons.choose(&turn, recorded_for).await?.to_value()?;
    for _ in 0..MAX_ATTEMPTS {
        check_living(&turn.world, agent)?;
        let outcome = commons.act(&turn, decision.clone())?;
        let documents_changed = outcome.documents.keys().cloned().collect();
        let events = outcome.events.clone();
        if !dry_run {
            let commit = TurnCommit {
                run_id: turn.run.run_id.clone(),
                generation: turn.run.gate_generation,
                epoch: state.worlds.get(commons.world()).copied().unwrap_or_default(),
                expected_version: turn.world.version,
                documents: outcome.documents,
                events: outcome.events,
            };
            match store.commit_turn(&commit).await {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Stale => {
                    turn = reload(store, commons, turn).await?;
                    continue;
                }
                Err(error) => return Err(error),
            }
        }
        return Ok(OnceReport {
            agent_id: agent,
            agent: agent.to_string(),
            run_id,
            dry_run,
            decision,
            events,
            documents_changed,
        });
    }
    Err(Error::unavailable("workers keep changing the world"))
}

/// The open run in which the agents of this host take turns.
fn run_of<'a>(state: &'a ControlState, commons: &Commons) -> Option<&'a RunRecord> {
    let is_its_host =
        |run: &&RunRecord| run.host.as_ref().is_none_or(|host| host == commons.name());
    state.run_in_world(commons.world()).filter(is_its_host)
}

fn check_open(run: Option<&RunRecord>) -> Result<()> {
    let reason = match run.map_or(RunGate::Closed, RunRecord::gate) {
        RunGate::Open => return Ok(()),
        RunGate::Paused => "the run is paused; resume it",
        RunGate::Closed => "no run is open; start one",
    };
    Err(Error::conflict(format!("{reason}, or use a dry run")))
}

fn check_living(world: &World, number: i64) -> Result<()> {
    let society = Society::load(&world.documents)?;
    match society.agents.get(&number) {
        None => Err(Error::not_found(format!("there is no agent {number}"))),
        Some(agent) if agent.is_dead() => {
            Err(Error::conflict(format!("agent {number} is dead and takes no turns")))
        }
        Some(_) => Ok(()),
    }
}

/// The turn on the newest world, if the gate of its run has not moved.
async fn reload(store: &dyn RunStore, commons: &Commons, mut turn: Turn) -> Result<Turn> {
    let state = store.load().await?;
    let run = run_of(&state, commons);
    check_open(run)?;
    let is_same = run.is_some_and(|run| run.gate_generation == turn.run.gate_generation);
    let epoch = state.worlds.get(commons.world()).filter(|_| is_same);
    let Some(epoch) = epoch else {
        return Err(Error::conflict("the run was stopped, paused or reset during the turn"));
    };
    turn.world = Arc::new(store.world(*epoch).await?);
    Ok(turn)
}
