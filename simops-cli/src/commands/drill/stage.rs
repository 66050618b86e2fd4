//! A folder with a database, and a worker process on it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use simops::SystemClock;
use simops::control::{Environment, RunState};
use simops::ops::{Caller, EventsQuery, Ops, OpsOptions, PatchConfig, StartRun, StopRun};
use simops::ops::{UsageQuery, Writer};
use simops::output::create_file;
use simops::recount::UNWATCHED;
use simops::usage::UsageRow;
use simops_database::Database;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::Checks;
use crate::exit::Failure;

/// The time within which every expectation must be met.
const TIMEOUT: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
const AGENTS: &str = "12";
/// Fast enough for a drill of seconds.
const SPEED: &str = "200";

/// Below the ports that Linux gives to outgoing connections (32768 and up), so that no connection
/// occupies the port while its server is stopped.
const FIRST_PORT: u16 = 10_000;
const PORTS: u16 = 20_000;

/// A database with a worker, and the use cases that observe it.
pub(super) struct Stage {
    // Ends before its folder goes.
    worker: Option<Child>,
    pub(super) ops: Ops,
    caller: Caller,
    dir: TempDir,
    logs: u32,
}

impl Stage {
    /// An empty database in a folder that goes with it.
    pub(super) async fn set() -> Result<Self, Failure> {
        let dir = folder()?;
        let url = format!("sqlite://{}", dir.path().join("simops.db").display());
        Self::watching(dir, &url).await
    }

    /// An existing database.
    pub(super) async fn on(url: &str) -> Result<Self, Failure> {
        Self::watching(folder()?, url).await
    }

    async fn watching(dir: TempDir, url: &str) -> Result<Self, Failure> {
        let store = Database::at(url)?.open().await?;
        let options = OpsOptions::of(Environment::Development);
        let ops = Ops::new(store, Arc::new(SystemClock), options);
        let caller = Caller { actor: "drill".to_owned(), ..Caller::default() };
        Ok(Self { worker: None, ops, caller, dir, logs: 0 })
    }

    pub(super) fn folder(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// Starts this program as a worker that sees these variables and no other setting; the worker
    /// before it ends first.
    pub(super) async fn worker(&mut self, variables: &[(&str, &str)]) -> Result<(), Failure> {
        self.end_worker().await;
        self.logs += 1;
        let cannot = |error: std::io::Error| Failure::new(format!("no worker starts: {error}"));
        let log = create_file(&self.log_path()).map_err(cannot)?;
        let mut command = Command::new(std::env::current_exe().map_err(cannot)?);
        command.args(["worker", "--agents", AGENTS, "--speed", SPEED, "--host-id"]);
        command.arg(format!("drill-{}", self.logs));
        command.env_clear().envs(variables.iter().copied()).current_dir(self.dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
        self.worker = Some(command.spawn().map_err(cannot)?);
        let is_there = async || {
            let hosts = self.ops.status().await.ok()?.hosts;
            hosts.iter().any(|host| host.id == format!("drill-{}", self.logs)).then_some(())
        };
        match until(is_there).await {
            Some(()) => Ok(()),
            None => Err(Failure::new(format!("the worker does not report: {}", self.log()))),
        }
    }

    /// Whether the worker is still running.
    pub(super) fn worker_is_alive(&mut self) -> bool {
        self.worker.as_mut().is_some_and(|worker| matches!(worker.try_wait(), Ok(None)))
    }

    /// Ends the worker as a power cut would.
    async fn end_worker(&mut self) {
        if let Some(mut worker) = self.worker.take() {
            // It may have ended already.
            let _ = worker.kill().await;
        }
    }

    /// What the worker has logged.
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join(format!("worker-{}.log", self.logs))
    }

    pub(super) async fn writer(&self) -> Result<Writer<'_>, Failure> {
        Ok(self.ops.writer(&self.caller).await?)
    }

    /// Starts a run in a new world.
    pub(super) async fn start_run(&self, run_id: &str) -> Result<(), Failure> {
        let request = StartRun {
            run_id: Some(run_id.to_owned()),
            reset_world: Some(true),
            mode: Some("test".to_owned()),
            ..StartRun::default()
        };
        self.writer().await?.start_run(&request).await?;
        Ok(())
    }

    pub(super) async fn stop_run(&self) -> Result<(), Failure> {
        self.writer().await?.stop_run(&StopRun::default()).await?;
        Ok(())
    }

    pub(super) async fn set_setting(&self, key: &str, value: Value) -> Result<(), Failure> {
        let updates = [(key.to_owned(), value)].into_iter().collect();
        self.writer().await?.patch_config(PatchConfig { updates, reason: None }).await?;
        Ok(())
    }

    /// The ledger, up to its first 500 rows.
    pub(super) async fn ledger(&self, run_id: &str) -> Result<Vec<UsageRow>, Failure> {
        let run_id = Some(run_id.to_owned());
        let query = UsageQuery { run_id, limit: 500, ..UsageQuery::default() };
        Ok(self.ops.usage(&query).await?.items)
    }

    /// The last events, of one type or all.
    pub(super) async fn events(&self, event_type: Option<&str>) -> Result<Vec<Value>, Failure> {
        let event_type = event_type.map(str::to_owned);
        let query = EventsQuery { event_type, limit: 500, ..EventsQuery::default() };
        Ok(self.ops.events(&query).await?.items.iter().map(|event| json!(event)).collect())
    }

    /// The state that hosts have confirmed, once it is `wanted` or [`TIMEOUT`] is over.
    pub(super) async fn run_state(&self, wanted: RunState) -> Result<RunState, Failure> {
        let reached = async || {
            let state = self.ops.status().await.ok()?.run_state;
            (state == wanted).then_some(())
        };
        until(reached).await;
        Ok(self.ops.status().await?.run_state)
    }

    /// Checks that hosts confirm the state `wanted`.
    pub(super) async fn check_state(
        &self,
        checks: &mut Checks,
        must_be_seen: &'static str,
        wanted: RunState,
    ) -> Result<(), Failure> {
        let state = self.run_state(wanted).await?;
        checks.note(must_be_seen, json!(state), state == wanted);
        Ok(())
    }

    /// Checks that the run gets `more` actions than it has now.
    pub(super) async fn check_actions(
        &self,
        checks: &mut Checks,
        must_be_seen: &'static str,
        run_id: &str,
        more: i64,
    ) {
        let count = async || {
            let activity = self.ops.run_metrics(Some(run_id), 1).await.ok()?.activity;
            Some(activity.checkpoint_actions + activity.deterministic_actions)
        };
        let before = count().await.unwrap_or_default();
        until(async || count().await.filter(|now| now - before >= more)).await;
        let acted = count().await.unwrap_or_default() - before;
        checks.note(must_be_seen, acted, acted >= more);
    }

    /// Checks the sums that are kept of the ledger.
    pub(super) async fn check_sums(&self, checks: &mut Checks) -> Result<(), Failure> {
        let verified = self.ops.verify_usage(UNWATCHED).await?;
        checks.note(
            "the sums kept of the ledger equal it",
            verified.differences.len(),
            verified.ok,
        );
        Ok(())
    }
}

fn folder() -> Result<TempDir, Failure> {
    let dir = tempfile::Builder::new().prefix("simops-drill-").tempdir();
    dir.map_err(|error| Failure::new(format!("no temporary folder: {error}")))
}

/// What `look` finds within [`TIMEOUT`].
pub(super) async fn until<T>(look: impl AsyncFn() -> Option<T>) -> Option<T> {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return Some(found);
        }
        if began.elapsed() > TIMEOUT {
            return None;
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// An address of this machine that no program listens on.
pub(super) fn free_address() -> Result<SocketAddr, Failure> {
    let start = std::process::id().wrapping_mul(61);
    let ports = (0..PORTS).map(|next| {
        let offset = start.wrapping_add(next.into()) % u32::from(PORTS);
        FIRST_PORT + u16::try_from(offset).unwrap_or(0)
    });
    let mut addresses = ports.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let is_free = |address: &SocketAddr| TcpListener::bind(address).is_ok();
    addresses.find(is_free).ok_or_else(|| Failure::new("there is no free port"))
}
