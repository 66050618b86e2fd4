//! The worker: one loop that follows control state and takes turns while the gate is open.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use jiff::SignedDuration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::beat::Beat;
use super::pace::{Share, between_turns};
use super::turns::Turns;
use super::{SimulationHost, TURN_TIMEOUT, Turn, seeding, turns};
use crate::control::presence::FORGOTTEN_AFTER;
use crate::control::{ControlState, Environment, HostState, RunGate};
use crate::enforcement::{Observer, enforce};
use crate::execute::{Executor, WritePermit};
use crate::llm::Router;
use crate::settings::{Effective, Registry};
use crate::store::{RunStore, World};
use crate::usage::UsageCounter;
use crate::usage::expiry::keep_expiring;
use crate::{Clock, ErrorKind, Result, SystemClock};

/// Control state is read at least so often, should a notification get lost.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Stop conditions are checked so often while turns are taken.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// Calls in flight are counted so often once the gate has closed.
const SETTLE_EVERY: Duration = Duration::from_millis(50);
/// A turn in flight is waited for so long when the worker leaves.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);

/// How a worker works.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// The host's name in `status.hosts`; unique per process.
    pub host_id: String,
    /// Turns in flight at once.
    pub concurrency: usize,
    /// How many times faster than `AGENT_LOOP_DELAY_SECONDS`.
    pub speed: f64,
    /// A decision that takes longer is dropped.
    pub turn_timeout: Duration,
    /// The environment of the process. In production the worker marks the database.
    pub environment: Environment,
}

impl WorkerOptions {
    /// Four turns at once, ten times real pace, a minute for a turn, in development; a name that
    /// starts with `name`.
    pub fn named(name: &str) -> Self {
        let unique = Uuid::now_v7().simple().to_string();
        Self {
            host_id: format!("{name}-{}-{}", std::process::id(), &unique[unique.len() - 6..]),
            concurrency: 4,
            speed: 10.0,
            turn_timeout: TURN_TIMEOUT,
            environment: Environment::Development,
        }
    }
}

/// Runs a [`SimulationHost`] under run control.
pub struct Worker {
    store: Arc<dyn RunStore>,
    host: Arc<dyn SimulationHost>,
    registry: Arc<Registry>,
    clock: Arc<dyn Clock>,
    executor: Executor,
    observer: Observer,
    counter: Arc<dyn UsageCounter>,
    router: Option<Router>,
    options: WorkerOptions,
}

/// What the worker knows of the control state it acts on.
struct View {
    state: ControlState,
    settings: Arc<Effective>,
    gate: RunGate,
    world: Arc<World>,
    share: Share,
}

impl Worker {
    /// A worker with default options, built-in settings and the machine's clock.
    pub fn new(store: Arc<dyn RunStore>, host: Arc<dyn SimulationHost>) -> Self {
        let options = WorkerOptions::named(host.name());
        Self::with(store, host, Arc::new(Registry::builtin()), Arc::new(SystemClock), options)
    }

    /// A worker with everything said.
    pub fn with(
        store: Arc<dyn RunStore>,
        host: Arc<dyn SimulationHost>,
        registry: Arc<Registry>,
        clock: Arc<dyn Clock>,
        options: WorkerOptions,
    ) -> Self {
        let executor = Executor::new(
            Arc::clone(&store),
            Arc::clone(&registry),
            options.environment,
            Arc::clone(&clock),
        );
        let counter: Arc<dyn UsageCounter> = store.clone();
        let observer = Observer::default();
        Self { store, host, registry, clock, executor, observer, counter, router: None, options }
    }

    /// The same worker, whose host asks `router`: its calls in flight are reported, and a run whose
    /// budget cannot pay for a call is stopped. `None` for a host without models.
    #[must_use]
    pub fn with_router(self, router: impl Into<Option<Router>>) -> Self {
        let router = router.into();
        let refusals = router.as_ref().map(|router| Arc::clone(router.refusals()));
        let observer = refusals.map(Observer::with_refusals).unwrap_or_default();
        Self { observer, router, ..self }
    }

    /// The same worker, which expires the leases of `counter` rather than the store's.
    #[must_use]
    pub fn with_counter(self, counter: Arc<dyn UsageCounter>) -> Self {
        Self { counter, ..self }
    }

    /// Follows the operator until `shutdown` completes, then lets turns in flight end, tells the
    /// store that the host has left, and returns. Store failures are waited out with backoff.
    /// Leases of dead processes expire meanwhile.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        tokio::select! {
            () = self.follow_until(shutdown) => {}
            () = keep_expiring(&*self.counter, &*self.clock) => {}
        }
    }

    async fn follow_until(&self, shutdown: impl Future<Output = ()>) {
        let shutdown = std::pin::pin!(shutdown);
        let shutdown = shutdown.shared();
        let mut backoff = FIRST_BACKOFF;
        loop {
            let started = Instant::now();
            let Err(error) = self.follow(shutdown.clone()).await else { break };
            if started.elapsed() > LONGEST_BACKOFF {
                backoff = FIRST_BACKOFF;
            }
            warn!(%error, host = self.options.host_id, ?backoff, "the store is away; turns wait");
            tokio::select! {
                () = shutdown.clone() => break,
                () = tokio::time::sleep(jittered(backoff)) => {}
            }
            backoff = (backoff * 2).min(LONGEST_BACKOFF);
        }
        let leave = self.store.leave(&self.options.host_id);
        match tokio::time::timeout(LEAVE_WITHIN, leave).await {
            Ok(Ok(())) => info!(host = self.options.host_id, "host left"),
            _ => warn!(host = self.options.host_id, "the store does not know that the host left"),
        }
    }

    /// Follows control state until `shutdown` completes and no turn is in flight, or the store
    /// fails.
    async fn follow(&self, shutdown: impl Future<Output = ()> + Clone) -> Result<()> {
        let mut shutdown = std::pin::pin!(shutdown);
        let mut leave_at: Option<Instant> = None;
        let mut revision = self.store.watch();
        let (gate_sender, gate) = watch::channel(0);
        let mut turns = Turns::new(Arc::clone(&self.host), self.options.turn_timeout);
        let mut beat = Beat::new(self.options.host_id.clone());
        let clock = &*self.clock;
        let id = &self.options.host_id;

        revision.mark_unchanged();
        self.executor.mark_production(&WritePermit::system("host")).await?;
        seeding::build_first(&self.store, &self.host, id, clock, &self.executor).await?;
        let mut view = self.look(None).await?;
        let mut next_turn = Instant::now();
        let mut next_look = Instant::now() + LOOK_EVERY;
        let mut next_check = Instant::now();
        info!(host = id, world = self.host.name(), "host follows control state");
        loop {
            let gate_moved = gate_sender.send_if_modified(|seen| {
                std::mem::replace(seen, view.state.gate_generation) != view.state.gate_generation
            });
            if let (true, Some(run)) = (gate_moved, &view.state.run) {
                // Whoever opened the gate knew of it.
                self.observer.forget_refusal(&run.run_id);
            }
            if leave_at.is_some_and(|at| turns.in_flight() == 0 || Instant::now() >= at) {
                return Ok(());
            }
            // A call outlives a turn that was given up, and is waited for all the same.
            let calls = self.router.as_ref().map_or(0, Router::in_flight);
            let doing = activity(view.gate, turns.in_flight() + calls);
            let in_flight = self.router.as_ref().map_or(turns.in_flight(), |_| calls);
            let in_flight = u32::try_from(in_flight).unwrap_or(u32::MAX);
            let seen = view.state.generation;
            let report = beat.report(&*self.store, clock, (seen, doing, in_flight));
            report.await?;

            let may_begin = leave_at.is_none()
                && view.gate == RunGate::Open
                && turns.in_flight() < self.options.concurrency.max(1);
            tokio::select! {
                biased;
                () = &mut shutdown, if leave_at.is_none() => {
                    leave_at = Some(Instant::now() + LEAVE_WITHIN);
                }
                changed = revision.changed() => {
                    if changed.is_err() {
                        return Err(crate::Error::unavailable("the store was closed"));
                    }
                    seeding::build_requested(&self.store, &self.host, id, clock).await?;
                    view = self.look(Some(view)).await?;
                    next_look = Instant::now() + LOOK_EVERY;
                }
                () = sleep_until(next_look) => {
                    view = self.look(Some(view)).await?;
                    next_look = Instant::now() + LOOK_EVERY;
                }
                () = sleep(SETTLE_EVERY), if view.gate != RunGate::Open && calls > 0 => {}
                () = sleep_until(next_check), if view.gate == RunGate::Open => {
                    self.check_guardrails(&view).await?;
                    next_check = Instant::now() + CHECK_EVERY;
                }
                () = sleep_until(beat.due()) => {
                    view.share = self.share().await?;
                }
                (turn, decision) = turns.decided() => {
                    view.world = self.act(&view, turn, decision).await?;
                }
                () = sleep_until(next_turn), if may_begin => {
                    let agents = view.share.of_agents(&self.agents(&view.world));
                    if let Some(turn) = self.next(&view, &agents, &turns, &gate) {
                        debug!(agent = turn.agent_id, "turn begins");
                        turns.begin(turn);
                    }
                    let pause = between_turns(&view.settings, self.options.speed, agents.len());
                    // Without an agent there is no pace: ask again soon.
                    let pause = if agents.is_empty() { pause.min(LOOK_EVERY) } else { pause };
                    next_turn = Instant::now() + pause;
                }
            }
        }
    }

    /// The control state now; the world is read only when it may be another than `before`'s.
    async fn look(&self, before: Option<View>) -> Result<View> {
        let state = self.store.load().await?;
        let gate = state.gate(&self.registry);
        let same = |view: &View| {
            view.state.gate_generation == state.gate_generation
                && view.state.world_epoch == state.world_epoch
        };
        let settings = Arc::new(state.effective(&self.registry));
        match before {
            Some(view) if same(&view) => Ok(View { state, settings, gate, ..view }),
            _ => {
                let world = match state.world_epoch {
                    Some(epoch) if gate == RunGate::Open => self.store.world(epoch).await?,
                    _ => World::default(),
                };
                let share = self.share().await?;
                Ok(View { state, settings, gate, world: Arc::new(world), share })
            }
        }
    }

    /// Ends the run when a stop condition has tripped. The commit moves the watched revision, so
    /// the loop closes the gate as it would for an operator's stop.
    async fn check_guardrails(&self, view: &View) -> Result<()> {
        let (store, registry, clock) = (&*self.store, &*self.registry, &*self.clock);
        enforce(store, &self.executor, &self.observer, &view.state, registry, clock).await?;
        Ok(())
    }

    async fn share(&self) -> Result<Share> {
        let now = self.clock.now();
        let hosts = self.store.hosts(now - SignedDuration::from_secs(60)).await?;
        self.store.delete_hosts(now - FORGOTTEN_AFTER).await?;
        Ok(Share::among(&hosts, &self.options.host_id, now))
    }

    fn agents(&self, world: &World) -> Vec<i64> {
        self.host.agents(world).unwrap_or_else(|error| {
            warn!(%error, world = self.host.name(), "the host cannot say who acts next");
            Vec::new()
        })
    }

    /// The turn of the first agent that is not in one.
    fn next(
        &self,
        view: &View,
        agents: &[i64],
        turns: &Turns,
        gate: &watch::Receiver<u64>,
    ) -> Option<Turn> {
        let agent_id = *agents.iter().find(|agent| !turns.is_acting(**agent))?;
        Some(Turn {
            agent_id,
            run: Arc::new(view.state.open_run()?.clone()),
            world: Arc::clone(&view.world),
            settings: Arc::clone(&view.settings),
            now: self.clock.now(),
            timeout: self.options.turn_timeout,
            gate_generation: view.state.gate_generation,
            gate: gate.clone(),
        })
    }

    /// Acts on a decision if its turn still counts; the world after it.
    async fn act(
        &self,
        view: &View,
        turn: Turn,
        decision: Result<serde_json::Value>,
    ) -> Result<Arc<World>> {
        let (Some(epoch), true) = (view.state.world_epoch, turn.is_current()) else {
            debug!(agent = turn.agent_id, "a turn begun before the gate moved was dropped");
            return Ok(Arc::clone(&view.world));
        };
        let generation = turn.gate_generation;
        let parts = (&*self.host, &*self.store);
        match turns::act(parts, turn, decision, epoch, generation, &view.world).await {
            Err(error) if error.kind() == ErrorKind::Stale => {
                debug!("the store refused a turn begun before the gate moved");
                Ok(Arc::clone(&view.world))
            }
            acted => acted,
        }
    }
}

/// What the host does, given the gate and its turns in flight.
fn activity(gate: RunGate, in_flight: usize) -> HostState {
    match (gate, in_flight) {
        (RunGate::Open, _) => HostState::Running,
        (RunGate::Closed, 0) => HostState::Idle,
        (RunGate::Paused, 0) => HostState::Paused,
        _ => HostState::Quiescing,
    }
}

/// Between half of `backoff` and all of it.
fn jittered(backoff: Duration) -> Duration {
    let share = f64::from(Uuid::now_v7().as_bytes()[15]) / 255.0;
    backoff.mul_f64(0.5 + share / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An embedder spawns the worker: its future must be able to move between threads.
    #[allow(dead_code)]
    fn a_worker_can_be_spawned(worker: Worker) {
        fn spawned(_: impl Send) {}
        spawned(worker.run(async {}));
    }
}
