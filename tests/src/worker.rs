//! `simops-cli worker` as a process.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::{Child, Command};

use crate::process::{clean, exits_in_time, program};

/// A worker process.
#[derive(Debug)]
pub struct WorkerProcess {
    child: Child,
    /// Its name in the list of hosts.
    pub host_id: String,
    /// Where its log goes.
    pub log: PathBuf,
}

impl WorkerProcess {
    /// Starts one on a database, its world running fast.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(dir: &Path, database_url: &str, host_id: &str) -> Self {
        Self::start_with(dir, host_id, &[("DATABASE_URL", database_url)])
    }

    /// Starts one with these variables.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_with(dir: &Path, host_id: &str, env: &[(&str, &str)]) -> Self {
        let log = dir.join(format!("worker-{host_id}-{}.log", uuid::Uuid::now_v7()));
        let stderr = std::fs::File::create(&log).expect("a log file");
        let mut command = clean(Command::new(program("simops-cli")), dir);
        command.args(["worker", "--host-id", host_id, "--speed", "100"]);
        command.envs(env.iter().copied()).stdout(Stdio::null()).stderr(stderr);
        let child = command.spawn().expect("simops-cli starts");
        Self { child, host_id: host_id.to_owned(), log }
    }

    /// The process id.
    ///
    /// # Panics
    /// When it has ended already.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("a running process")
    }

    /// Sends it a signal by name: `STOP` hangs it, `CONT` lets it go on, `TERM` asks it to end.
    ///
    /// # Panics
    /// When the system refuses.
    pub async fn signal(&self, name: &str) {
        let mut kill = Command::new("kill");
        let sent = kill.args([&format!("-{name}"), &self.pid().to_string()]);
        assert!(sent.status().await.is_ok_and(|status| status.success()), "kill -{name}");
    }

    /// Ends it as a power cut would.
    ///
    /// # Panics
    /// When the system refuses.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("kill -9");
    }

    /// Sends SIGTERM and waits; whether it exited with success.
    ///
    /// # Panics
    /// When it does not exit, or takes longer than the 10 s that are promised.
    pub async fn terminate(mut self) -> bool {
        self.signal("TERM").await;
        exits_in_time(&mut self.child).await
    }
}
