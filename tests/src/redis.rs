//! A private Redis that tests stop, hang, empty and put back to an older state.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};

/// A Redis on a free port, with its files in a folder of the test.
#[derive(Debug)]
pub struct RedisServer {
    dir: PathBuf,
    port: u16,
    child: Option<Child>,
}

impl RedisServer {
    /// Starts one with its files in `dir`.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn start(dir: &Path) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let mut server = Self { dir: dir.to_owned(), port, child: None };
        server.restart().await;
        server
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
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.kill_on_drop(true).spawn().expect("redis-server starts"));
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.command(&["PING"]).await.trim() != "PONG" {
            assert!(Instant::now() < deadline, "Redis does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
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
