//! A temporary folder with a database, and the binary run in it.

use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::Value;
use simops::store::UsageStore;
use simops::usage::{NanoUsd, UsageRow};
use simops_sqlite::SqliteStore;
use simops_tests::wait::{LIMIT, Stopwatch};
use tempfile::TempDir;
use uuid::Uuid;

/// A temporary folder; its database is the default one, `simops.db`.
pub(crate) struct TestDir {
    dir: TempDir,
}

/// What a command output.
pub(crate) struct CliOutput {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl TestDir {
    /// An empty folder.
    pub(crate) fn empty() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// A folder with a new database.
    pub(crate) fn with_database() -> Self {
        let dir = Self::empty();
        dir.record(&[]);
        dir
    }

    /// Writes calls to the ledger of its database, as a host would.
    pub(crate) fn record(&self, calls: &[UsageRow]) {
        let url = format!("sqlite://{}", self.path().join("simops.db").display());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            SqliteStore::open(&url).await.unwrap().record_usage(calls).await.unwrap();
        });
    }

    /// Changes its database without simops.
    pub(crate) fn tamper(&self, sql: &str) {
        let database = Connection::open(self.path().join("simops.db")).unwrap();
        assert!(database.execute(sql, []).unwrap() > 0);
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The binary in this folder, without this process's environment.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_simops-cli"));
        command.args(args).current_dir(self.path()).env_clear().env("USER", "ada");
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> CliOutput {
        CliOutput::of(self.command(args).output().unwrap())
    }

    /// Runs a command that must succeed; its answer.
    pub(crate) fn ok(&self, args: &[&str]) -> Value {
        let output = self.run(args);
        assert_eq!(output.code, 0, "{args:?}: {}", output.stderr);
        output.json()
    }

    /// Runs a command that must fail; its code and what it output.
    pub(crate) fn fails(&self, args: &[&str]) -> (i32, String) {
        let output = self.run(args);
        assert_ne!(output.code, 0, "{args:?}: {}", output.stdout);
        (output.code, output.stderr)
    }

    /// A worker in this folder.
    pub(crate) fn worker(&self, args: &[&str]) -> Worker {
        let args = [&["worker"], args].concat();
        let stderr = std::fs::File::create(self.path().join("worker.log")).unwrap();
        let child = self.command(&args).stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
        Worker { child }
    }

    /// What the worker has logged so far.
    pub(crate) fn worker_log(&self) -> String {
        std::fs::read_to_string(self.path().join("worker.log")).unwrap()
    }
}

impl CliOutput {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap()
    }
}

/// A call of the run `r1` on 1 March 2026 that answered and cost `nanos`.
pub(crate) fn call(at: &str, nanos: i64) -> UsageRow {
    UsageRow {
        id: Uuid::now_v7(),
        day: "2026-03-01".parse().unwrap(),
        run_id: Some("r1".into()),
        agent_id: Some(7.into()),
        checkpoint: Some(3),
        provider: "groq".into(),
        model_requested: "m".into(),
        model_resolved: None,
        input_tokens: 100,
        cached_input_tokens: 0,
        output_tokens: 20,
        reasoning_tokens: 0,
        cost: NanoUsd(nanos),
        priced: true,
        success: true,
        sent: true,
        over_reservation: false,
        fallback_used: false,
        latency_ms: 12,
        error_type: None,
        created_at: at.parse().unwrap(),
    }
}

/// A worker process, ended when it goes out of scope.
pub(crate) struct Worker {
    child: Child,
}

impl Worker {
    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }

    /// Waits until it exits; its exit status.
    pub(crate) fn exits_within(&mut self, limit: Duration) -> ExitStatus {
        let stopwatch = Stopwatch::start();
        let status = until(SOON, "the worker to exit", || self.child.try_wait().unwrap());
        assert!(stopwatch.elapsed() < limit, "{stopwatch:?}");
        status
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A generous limit for everything that happens in seconds on an idle machine.
pub(crate) const SOON: Duration = LIMIT;

/// Polls `look` until it returns something.
pub(crate) fn until<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "waited {limit:?} for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
