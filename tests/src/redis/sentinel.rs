//! A Redis with a replica, and a sentinel that promotes it.

use std::path::Path;
use std::process::Stdio;

use tokio::process::{Child, Command};

use super::RedisServer;
use crate::port::free_port;

/// Three processes: a master, its replica, and a sentinel that watches both.
#[derive(Debug)]
pub struct WatchedRedis {
    /// The master, to begin with.
    pub master: RedisServer,
    /// Its replica.
    pub replica: RedisServer,
    sentinel: u16,
    _sentinel: Child,
}

impl WatchedRedis {
    /// Starts the three with their files in `dir`; the sentinel knows both servers.
    ///
    /// # Panics
    /// When one does not answer.
    pub async fn start(dir: &Path) -> Self {
        let master = RedisServer::start(&dir.join("master")).await;
        let port = master.port.to_string();
        let replica = ["--replicaof", "127.0.0.1", &port];
        let replica = RedisServer::start_with(&dir.join("replica"), free_port(), &replica).await;
        replica.until(&["INFO", "replication"], |answer| answer.contains("link_status:up")).await;
        let sentinel = free_port();
        let config = dir.join("sentinel.conf");
        let text = format!(
            "port {sentinel}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {port} 1\n\
             sentinel down-after-milliseconds main 300\nsentinel failover-timeout main 2000\n"
        );
        std::fs::write(&config, text).expect("a file");
        let mut command = Command::new("redis-server");
        command.arg(&config).arg("--sentinel").kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("a sentinel starts");
        let watched = Self { master, replica, sentinel, _sentinel: child };
        let known =
            ["-p", &sentinel.to_string(), "SENTINEL", "REPLICAS", "main"].map(str::to_owned);
        crate::eventually("the sentinel knows the replica", async || {
            let output = Command::new("redis-cli").args(&known).output().await.ok()?;
            String::from_utf8_lossy(&output.stdout)
                .contains(&watched.replica.port.to_string())
                .then_some(())
        })
        .await;
        watched
    }

    /// What to connect to: first an address at which no sentinel is.
    pub fn url(&self) -> String {
        format!("redis-sentinel://127.0.0.1:1,127.0.0.1:{}/main", self.sentinel)
    }
}
