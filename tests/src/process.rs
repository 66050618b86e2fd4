//! The real binaries as processes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use reqwest::Method;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::{Client, eventually};

/// The token that test servers are given.
pub const TOKEN: &str = "a-token-for-tests-only";

/// The path of a binary of this workspace.
///
/// # Panics
/// When it was not built.
pub fn program(name: &str) -> PathBuf {
    // target/PROFILE/deps/TEST, or target/PROFILE/BINARY.
    let own = std::env::current_exe().expect("the own path");
    let mut places = own.ancestors().skip(1).take(2).map(|folder| folder.join(name));
    let found = places.find(|program| program.is_file());
    found.unwrap_or_else(|| panic!("{name} is not built: cargo build --workspace --bins"))
}

/// Runs `simops-cli` in `dir` and waits for it.
///
/// # Panics
/// When it cannot be started.
pub async fn cli(dir: &Path, args: &[&str]) -> Output {
    clean(Command::new(program("simops-cli")), dir)
        .args(args)
        .output()
        .await
        .expect("simops-cli starts")
}

/// A process that sees nothing of the test's environment but where programs are.
pub(crate) fn clean(mut command: Command, dir: &Path) -> Command {
    command.env_clear().current_dir(dir).stdin(Stdio::null()).kill_on_drop(true);
    for name in ["PATH", "HOME", "RUST_BACKTRACE"] {
        if let Ok(value) = std::env::var(name) {
            command.env(name, value);
        }
    }
    command
}

/// How a server is started.
#[derive(Debug, Clone)]
pub struct ServerBuilder {
    dir: PathBuf,
    env: BTreeMap<String, String>,
    args: Vec<String>,
}

impl ServerBuilder {
    /// A development server in `dir` on a free port, its world running fast.
    pub fn new(dir: &Path) -> Self {
        let env = [
            ("SIMOPS_LISTEN", "127.0.0.1:0"),
            ("ADMIN_API_TOKEN", TOKEN),
            ("SIMOPS_WORLD_SPEED", "100"),
        ];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self { dir: dir.to_owned(), env: env.into(), args: Vec::new() }
    }

    /// The same with a variable set.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The same without a variable.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.env.remove(name);
        self
    }

    /// The same with one more argument.
    #[must_use]
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    /// The process, not yet started.
    pub fn command(&self) -> Command {
        let mut command = clean(Command::new(program("simops-server")), &self.dir);
        command.envs(&self.env).args(&self.args);
        command
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn start(&self) -> Server {
        let log = self.dir.join(format!("server-{}.log", uuid::Uuid::now_v7()));
        let stderr = std::fs::File::create(&log).expect("a log file");
        let mut child = self
            .command()
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .expect("simops-server starts");
        let stdout = child.stdout.take().expect("a pipe");
        let mut lines = BufReader::new(stdout).lines();
        let mut printed = Vec::new();
        let find = async {
            while let Ok(Some(line)) = lines.next_line().await {
                let base = line
                    .split_whitespace()
                    .find_map(|word| word.strip_suffix("/ops").filter(|b| b.starts_with("http")))
                    .map(str::to_owned);
                printed.push(line);
                if base.is_some() {
                    return base;
                }
            }
            None
        };
        let base = tokio::time::timeout(Duration::from_secs(30), find).await.ok().flatten();
        let base = base.unwrap_or_else(|| {
            panic!("no address: {printed:?} {}", std::fs::read_to_string(&log).unwrap_or_default())
        });
        // Keep reading, so that the server never blocks on a full pipe.
        let rest = tokio::spawn(async move {
            let mut rest = Vec::new();
            while let Ok(Some(line)) = lines.next_line().await {
                rest.push(line);
            }
            rest
        });
        let token = self.env.get("ADMIN_API_TOKEN").map_or("", String::as_str);
        let client = Client::new(&base, token);
        let server = Server { child, base, client, log, printed, rest };
        server.until_ready().await;
        server
    }
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Its address, without a path.
    pub base: String,
    /// A client with its token.
    pub client: Client,
    /// Where its log goes.
    pub log: PathBuf,
    /// What it printed up to its address.
    pub printed: Vec<String>,
    rest: tokio::task::JoinHandle<Vec<String>>,
}

impl Server {
    /// Waits until the server is ready.
    ///
    /// # Panics
    /// When it takes over 30 s.
    pub async fn until_ready(&self) {
        eventually("the server is ready", Duration::from_secs(30), async || {
            let answer = self.client.send(self.client.bare(Method::GET, "/readyz")).await.ok()?;
            (answer.status == 200).then_some(())
        })
        .await;
    }

    /// Waits until the shown run state is `wanted`.
    ///
    /// # Panics
    /// When it takes over 20 s.
    pub async fn until_state(&self, wanted: &str) -> serde_json::Value {
        eventually(&format!("run state {wanted}"), Duration::from_secs(20), async || {
            let status = self.client.get("status").await.ok();
            (status["run_state"] == wanted).then_some(status)
        })
        .await
    }

    /// Ends it as a power cut would.
    ///
    /// # Panics
    /// When the system refuses.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("kill -9");
        self.rest.abort();
    }

    /// The process id.
    ///
    /// # Panics
    /// When it has ended already.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("a running process")
    }

    /// Asks it to end and waits; whether it ended well.
    ///
    /// # Panics
    /// When it does not end within 11 s.
    pub async fn terminate(mut self) -> bool {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().await;
        assert!(sent.is_ok_and(|status| status.success()), "kill -TERM");
        let ended = tokio::time::timeout(Duration::from_secs(11), self.child.wait()).await;
        ended.expect("it ends within 10 s").expect("a status").success()
    }
}
