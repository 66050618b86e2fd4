//! The worker: one loop that follows control state and takes turns while the gate is open.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use jiff::SignedDuration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::heartbeat::{Activity, Heartbeat, Identity};
use super::pacing::{AgentShard, turn_interval};
use super::turns::Turns;
use super::{SimulationHost, TURN_TIMEOUT, Turn, turns};
use crate::control::presence::FORGOTTEN_AFTER;
use crate::control::{ControlState, Environment, HostState};
use crate::enforcement::{Observer, enforce, enforce_limits};
use crate::execute::{Executor, WritePermit};
use crate::llm::Router;
use crate::number::random_fraction;
use crate::roster::AgentRoster;
use crate::run::{RunGate, RunRecord};
use crate::settings::{Effective, Registry};
use crate::store::{RunStore, World};
use crate::usage::UsageCounter;
use crate::usage::expiry::keep_expiring;
use crate::{AgentId, Clock, ErrorKind, Result, SystemClock};

/// Control state is read at least this often, in case a notification is lost.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// How often stop conditions are checked while the run gate is open.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How often the limits of the run are checked while its gate is open.
const LIMITS_INTERVAL: Duration = Duration::from_millis(500);
/// How often calls in flight are counted once the run gate has closed.
const QUIESCE_INTERVAL: Duration = Duration::from_millis(50);
/// How long a worker that shuts down waits for turns in flight, and to report that it left.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);
const MIN_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// Options of a worker.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// The host's id in `status.hosts`; unique per process.
    pub host_id: String,
    /// The most concurrent turns; at least 1.
    pub concurrency: usize,
    /// The speed-up over `AGENT_LOOP_DELAY_SECONDS`; 1 is real pace.
    pub speed: f64,
    /// The time-out of a decision; a turn that takes longer is dropped.
    pub turn_timeout: Duration,
    /// The environment of the process. In production the worker marks the database.
    pub environment: Environment,
}

impl WorkerOptions {
    /// The defaults: four concurrent turns, ten times real pace, a time-out of one minute, the
    /// development environment, and a unique host id that starts with `name`.
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
    pub(super) store: Arc<dyn RunStore>,
    pub(super) host: Arc<dyn SimulationHost>,
    registry: Arc<Registry>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) executor: Executor,
    observer: Observer,
    counter: Arc<dyn UsageCounter>,
    router: Option<Router>,
    agents: AgentRoster,
    pub(super) options: WorkerOptions,
}

/// The control state that the worker acts on, as last read.
struct View {
    state: ControlState,
    settings: Arc<Effective>,
    /// The open run that this host drives.
    run: Option<Arc<RunRecord>>,
    /// The run that it drives, or has driven last.
    last_run_id: Option<String>,
    /// The active epoch of its world.
    epoch: Option<i64>,
    world: Arc<World>,
    shard: AgentShard,
}

impl View {
    fn gate(&self) -> RunGate {
        self.run.as_ref().map_or(RunGate::Closed, |run| run.gate())
    }

    /// Whether turns are taken in a run with limits.
    fn is_limited(&self) -> bool {
        let limited = self.run.as_ref().is_some_and(|run| run.limits.is_some());
        limited && self.gate() == RunGate::Open
    }

    /// The gate generation of the run; 0 without one.
    fn gate_generation(&self) -> u64 {
        self.run.as_ref().map_or(0, |run| run.gate_generation)
    }
}

impl Worker {
    /// A worker with default options, built-in settings and the machine's clock.
    pub fn new(store: Arc<dyn RunStore>, host: Arc<dyn SimulationHost>) -> Self {
        let options = WorkerOptions::named(host.name());
        Self::with(store, host, Arc::new(Registry::builtin()), Arc::new(SystemClock), options)
    }

    /// A worker with explicit settings, clock and options.
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
        let agents = AgentRoster::new(store.clone());
        let router = None;
        Self { store, host, registry, clock, executor, observer, counter, router, agents, options }
    }

    /// Sets the router that the host calls models with: the worker reports its calls in flight, and
    /// stops a run whose remaining budget is exceeded by a call. `None` for a host without models.
    #[must_use]
    pub fn with_router(self, router: impl Into<Option<Router>>) -> Self {
        let router = router.into();
        let refusals = router.as_ref().map(|router| Arc::clone(router.refusals()));
        let observer = refusals.map(Observer::with_refusals).unwrap_or_default();
        Self { observer, router, ..self }
    }

    /// Sets the usage counter whose leases the worker expires; by default, the store's.
    #[must_use]
    pub fn with_counter(self, counter: Arc<dyn UsageCounter>) -> Self {
        Self { counter, ..self }
    }

    /// Follows control state and takes turns until `shutdown` completes; then waits up to 5 s for
    /// turns in flight, reports that the host left, and returns. Retries with backoff while the
    /// store is unavailable. Also expires the leases of dead processes.
    ///
    /// # Cancel safety
    /// Dropping the future drops the turns in flight, as a crash would: nothing is half stored, and
    /// the host's report expires.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        tokio::select! {
            () = self.follow_until(shutdown) => {}
            () = keep_expiring(&*self.counter, &*self.clock) => {}
        }
    }

    async fn follow_until(&self, shutdown: impl Future<Output = ()>) {
        let shutdown = std::pin::pin!(shutdown);
        let shutdown = shutdown.shared();
        let mut backoff = MIN_BACKOFF;
        loop {
            let started = Instant::now();
            let Err(error) = self.follow(shutdown.clone()).await else { break };
            if started.elapsed() > MAX_BACKOFF {
                backoff = MIN_BACKOFF;
            }
            let host = &self.options.host_id;
            warn!(code = "database_unavailable", %error, host, ?backoff, "database unavailable; turns paused");
            tokio::select! {
                () = shutdown.clone() => break,
                () = sleep(backoff.mul_f64(0.5 + random_fraction() / 2.0)) => {}
            }
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
        let leave = self.store.leave(&self.options.host_id);
        match tokio::time::timeout(SHUTDOWN_TIMEOUT, leave).await {
            Ok(Ok(())) => info!(host = self.options.host_id, "host left"),
            _ => {
                warn!(
                    code = "host_leave_failed",
                    host = self.options.host_id,
                    "host could not report that it left"
                );
            }
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
        let mut heartbeat = Heartbeat::new(Identity {
            id: self.options.host_id.clone(),
            kind: self.host.name().to_owned(),
            world: self.host.world().to_owned(),
        });
        let id = &self.options.host_id;

        revision.mark_unchanged();
        self.executor.mark_production(&WritePermit::system("host")).await?;
        self.build_first_world().await?;
        let mut view = self.refresh(None).await?;
        let mut next_turn = Instant::now();
        let mut next_poll = Instant::now() + POLL_INTERVAL;
        let mut next_check = Instant::now();
        let mut next_limits = Instant::now();
        info!(host = id, world = self.host.name(), "host follows control state");
        loop {
            self.publish_gate(&view, &gate_sender);
            if leave_at.is_some_and(|at| turns.in_flight() == 0 || Instant::now() >= at) {
                return Ok(());
            }
            // A model call can outlive its turn; the host is quiescent once it has ended too.
            let calls = self.router.as_ref().map_or(0, Router::in_flight);
            self.report(&mut heartbeat, &view, turns.in_flight(), calls).await?;
            let may_begin = leave_at.is_none()
                && view.gate() == RunGate::Open
                && turns.in_flight() < self.options.concurrency.max(1);
            tokio::select! {
                biased;
                () = &mut shutdown, if leave_at.is_none() => {
                    leave_at = Some(Instant::now() + SHUTDOWN_TIMEOUT);
                }
                changed = revision.changed() => {
                    if changed.is_err() {
                        return Err(crate::Error::unavailable("the store was closed"));
                    }
                    self.build_requested_worlds().await?;
                    view = self.refresh(Some(view)).await?;
                    next_poll = Instant::now() + POLL_INTERVAL;
                }
                () = sleep_until(next_poll) => {
                    view = self.refresh(Some(view)).await?;
                    next_poll = Instant::now() + POLL_INTERVAL;
                }
                () = sleep(QUIESCE_INTERVAL), if view.gate() != RunGate::Open && calls > 0 => {}
                () = sleep_until(next_check), if view.gate() == RunGate::Open => {
                    // The commit of a stop moves the watched revision, which closes the gate.
                    if let Some(run) = &view.run {
                        let (state, run_id) = (&view.state, &run.run_id);
                        enforce(&self.executor, &self.observer, state, run_id).await?;
                    }
                    next_check = Instant::now() + CHECK_INTERVAL;
                }
                () = sleep_until(next_limits), if view.is_limited() => {
                    let run_id = view.run.as_ref().map(|run| run.run_id.as_str());
                    enforce_limits(&self.executor, &view.state, run_id).await?;
                    next_limits = Instant::now() + LIMITS_INTERVAL;
                }
                () = sleep_until(heartbeat.due()) => {
                    view.shard = self.shard().await?;
                }
                (turn, decision) = turns.decided() => {
                    view.world = self.act(&view, turn, decision).await?;
                }
                () = sleep_until(next_turn), if may_begin => {
                    next_turn = Instant::now() + self.begin_turn(&view, &mut turns, &gate);
                }
            }
        }
    }

    /// Publishes the gate generation to the turns in flight.
    fn publish_gate(&self, view: &View, gate: &watch::Sender<u64>) {
        let now = view.gate_generation();
        let moved = gate.send_if_modified(|seen| std::mem::replace(seen, now) != now);
        if let (true, Some(run)) = (moved, &view.run) {
            // Refusals from before the gate moved must not stop the run again.
            self.observer.forget_refusal(&run.run_id);
        }
    }

    /// Reports this host's state to the store, if that is due.
    async fn report(
        &self,
        heartbeat: &mut Heartbeat,
        view: &View,
        turns: usize,
        calls: usize,
    ) -> Result<()> {
        let activity = Activity {
            state: host_state(view.gate(), turns + calls),
            run_id: view.last_run_id.clone(),
            generation: view.state.generation,
        };
        let in_flight = if self.router.is_some() { calls } else { turns };
        let in_flight = u32::try_from(in_flight).unwrap_or(u32::MAX);
        heartbeat.report(&*self.store, &*self.clock, activity, in_flight).await
    }

    /// Begins the next turn, if an agent is free; returns the time until the one after it.
    fn begin_turn(&self, view: &View, turns: &mut Turns, gate: &watch::Receiver<u64>) -> Duration {
        let agents = view.shard.select(&self.agents(&view.world));
        if let Some(turn) = self.next_turn(view, &agents, turns, gate) {
            debug!(agent = %turn.agent_id, "turn begins");
            turns.begin(turn);
        }
        let interval = turn_interval(&view.settings, self.options.speed, agents.len());
        // Without agents there is no pace: check again soon.
        if agents.is_empty() { interval.min(POLL_INTERVAL) } else { interval }
    }

    /// Reads the control state. The world is read only if it may differ from the one in `before`.
    async fn refresh(&self, before: Option<View>) -> Result<View> {
        let state = self.store.load().await?;
        let name = self.host.world();
        let is_mine =
            |run: &&RunRecord| run.host.as_ref().is_none_or(|host| host == self.host.name());
        let run = state.run_in_world(name).filter(is_mine).cloned().map(Arc::new);
        let epoch = state.worlds.get(name).copied();
        let settings = Arc::new(state.effective(&self.registry));
        let last = before.as_ref().and_then(|view| view.last_run_id.clone());
        let last_run_id = run.as_ref().map(|run| run.run_id.clone()).or(last);
        let gate = |run: &Option<Arc<RunRecord>>| {
            run.as_ref().map(|run| (run.run_id.clone(), run.gate_generation))
        };
        match before {
            Some(view) if gate(&view.run) == gate(&run) && view.epoch == epoch => {
                Ok(View { state, settings, run, last_run_id, ..view })
            }
            _ => {
                let is_open = run.as_ref().is_some_and(|run| run.gate() == RunGate::Open);
                let world = match epoch {
                    Some(epoch) if is_open => self.store.world(epoch).await?,
                    _ => World::default(),
                };
                let (shard, world) = (self.shard().await?, Arc::new(world));
                Ok(View { state, settings, run, last_run_id, epoch, world, shard })
            }
        }
    }

    async fn shard(&self) -> Result<AgentShard> {
        let now = self.clock.now();
        let hosts = self.store.hosts(now - SignedDuration::from_secs(60)).await?;
        self.store.delete_hosts(now - FORGOTTEN_AFTER).await?;
        Ok(AgentShard::of_host(&hosts, &self.options.host_id, now))
    }

    fn agents(&self, world: &World) -> Vec<AgentId> {
        self.host.agents(world).unwrap_or_else(|error| {
            warn!(code = "turn_order_failed", %error, world = self.host.name(), "host failed to order its agents");
            Vec::new()
        })
    }

    /// A turn of the first agent that is not in one.
    fn next_turn(
        &self,
        view: &View,
        agents: &[AgentId],
        turns: &Turns,
        gate: &watch::Receiver<u64>,
    ) -> Option<Turn> {
        let agent_id = agents.iter().find(|agent| !turns.has_turn(agent))?.clone();
        Some(Turn {
            agent_id,
            run: Arc::clone(view.run.as_ref()?),
            world: Arc::clone(&view.world),
            settings: Arc::clone(&view.settings),
            now: self.clock.now(),
            timeout: self.options.turn_timeout,
            gate_generation: view.gate_generation(),
            gate: gate.clone(),
        })
    }

    /// Acts on a decision if its turn is current, and returns the newest world.
    async fn act(
        &self,
        view: &View,
        turn: Turn,
        decision: Result<serde_json::Value>,
    ) -> Result<Arc<World>> {
        let (Some(epoch), true) = (view.epoch, turn.is_current()) else {
            debug!(agent = %turn.agent_id, "dropped a turn that began before the run gate moved");
            return Ok(Arc::clone(&view.world));
        };
        let generation = turn.gate_generation;
        let parts = (&*self.host, &*self.store, &self.agents);
        match turns::act(parts, turn, decision, epoch, generation, &view.world).await {
            Err(error) if error.kind() == ErrorKind::Stale => {
                debug!("store refused a turn that began before the run gate moved");
                Ok(Arc::clone(&view.world))
            }
            acted => acted,
        }
    }
}

/// The host state to report, given the run gate and the turns in flight.
fn host_state(gate: RunGate, in_flight: usize) -> HostState {
    match (gate, in_flight) {
        (RunGate::Open, _) => HostState::Running,
        (RunGate::Closed, 0) => HostState::Idle,
        (RunGate::Paused, 0) => HostState::Paused,
        _ => HostState::Quiescing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Embedders spawn the worker, so its future must be `Send`.
    #[allow(dead_code)]
    fn a_worker_can_be_spawned(worker: Worker) {
        fn spawned(_: impl Send) {}
        spawned(worker.run(async {}));
    }
}
