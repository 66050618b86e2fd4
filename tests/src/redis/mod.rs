//! Private Redis servers that tests stop, hang, empty and put back to an older state: alone, watched by
//! a sentinel, or as a cluster.

mod cluster;
mod sentinel;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};

use crate::port::free_port;
use crate::wait::LIMIT;

pub use cluster::RedisCluster;
pub use sentinel::WatchedRedis;

/// A Redis on a free port, with its files in a folder of the test.
#[derive(Debug)]
pub struct RedisServer {
    dir: PathBuf,
    port: u16,
    args: Vec<String>,
    child: Option<Child>,
}

impl RedisServer {
    /// Starts one with its files in `dir`.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn start(dir: &Path) -> Self {
        Self::start_with(dir, free_port(), &[]).await
    }

    /// Starts one on `port` with its files in `dir` and more arguments.
    async fn start_with(dir: &Path, port: u16, args: &[&str]) -> Self {
        std::fs::create_dir_all(dir).expect("a folder");
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        let mut server = Self { dir: dir.to_owned(), port, args, child: None };
        server.restart().await;
        server
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Starts it again, with what its dump file holds.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn restart(&mut self) {
        self.kill().await;
        let mut command = Command::new("redis-server");
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"]);
        command.args(["--save", "", "--appendonly", "no", "--dir"]).arg(&self.dir);
        command.args(&self.args);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.kill_on_drop(true).spawn().expect("redis-server starts"));
        self.until(&["PING"], |answer| answer.trim() == "PONG").await;
    }

    /// Starts it again with nothing in it.
    pub async fn restart_empty(&mut self) {
        self.kill().await;
        let _ = std::fs::remove_file(self.dir.join("dump.rdb"));
        self.restart().await;
    }

    /// Ends it at once, as `kill -9` does.
    pub async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill().await;
        }
    }

    /// Sends it a signal by name: `STOP` hangs it, `CONT` lets it go on.
    pub async fn signal(&self, name: &str) {
        let id = self.child.as_ref().and_then(Child::id).expect("it runs");
        let sent = Command::new("kill").args([&format!("-{name}"), &id.to_string()]).status().await;
        assert!(sent.expect("kill starts").success());
    }

    /// Sends it a command and does not wait for an answer.
    ///
    /// # Panics
    /// When `redis-cli` cannot be started.
    pub fn send(&self, command: &[&str]) {
        let mut sent = Command::new("redis-cli");
        sent.args(["-p", &self.port.to_string()]).args(command).stdout(Stdio::null());
        drop(sent.kill_on_drop(false).spawn().expect("redis-cli starts"));
    }

    /// Waits until its answer to a command is the one looked for.
    async fn until(&self, command: &[&str], wanted: impl Fn(&str) -> bool) {
        // Not `eventually`: with an async closure the compiler cannot prove that this future is `Send`.
        let deadline = Instant::now() + LIMIT;
        while !wanted(&self.command(command).await) {
            assert!(Instant::now() < deadline, "waited {LIMIT:?}: {}", command.join(" "));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What it answers to a command.
    ///
    /// # Panics
    /// When `redis-cli` cannot be started.
    pub async fn command(&self, command: &[&str]) -> String {
        let port = self.port.to_string();
        let output = Command::new("redis-cli").args(["-p", &port]).args(command).output().await;
        String::from_utf8_lossy(&output.expect("redis-cli starts").stdout).into_owned()
    }
}
