//! The real binaries as processes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use reqwest::Method;
use tokio::process::{Child, Command};

use crate::wait::{LIMIT, Stopwatch};
use crate::{Client, eventually};

/// The token that test servers are given.
pub const TOKEN: &str = "4f9c1e7a2b8d6053c7e1f4a9";

/// How long a process may take to exit, by the contract.
const EXIT_LIMIT: Duration = Duration::from_secs(10);

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
    command("simops-cli", dir).args(args).output().await.expect("simops-cli starts")
}

/// A binary of this workspace in `dir`, which sees nothing of the test's environment.
///
/// # Panics
/// When it was not built.
pub fn command(name: &str, dir: &Path) -> Command {
    clean(Command::new(program(name)), dir)
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
    program: PathBuf,
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
        let program = program("simops-server");
        Self { dir: dir.to_owned(), program, env: env.into(), args: Vec::new() }
    }

    /// The same with another binary, for example of an older release.
    #[must_use]
    pub fn program(mut self, program: &Path) -> Self {
        program.clone_into(&mut self.program);
        self
    }

    /// The same without limits of visitors' events.
    #[must_use]
    pub fn without_ingest_limits(self) -> Self {
        let limits = [
            "RATE_LIMIT",
            "RATE_LIMIT_EVENTS",
            "RATE_LIMIT_BYTES",
            "TOTAL_LIMIT_EVENTS",
            "TOTAL_LIMIT_BYTES",
        ];
        limits.iter().fold(self, |builder, limit| builder.env(&format!("KPI_EVENT_{limit}"), "0"))
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
        let mut command = clean(Command::new(&self.program), &self.dir);
        command.envs(&self.env).args(&self.args);
        command
    }

    fn has_world(&self) -> bool {
        let is_none = |host: &String| host.contains("none");
        !self.env.get("SIMOPS_HOST").is_some_and(is_none) && !self.args.iter().any(is_none)
    }

    /// Starts it and waits until it is ready, with its world if it has one.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn start(&self) -> Server {
        let name = uuid::Uuid::now_v7();
        let log = self.dir.join(format!("server-{name}.log"));
        let out = self.dir.join(format!("server-{name}.out"));
        let mut command = self.command();
        command.stdout(std::fs::File::create(&out).expect("a file for its output"));
        command.stderr(std::fs::File::create(&log).expect("a log file"));
        let mut child = command.spawn().expect("simops-server starts");
        let base = eventually("the server prints its address", async || {
            let printed = read(&out);
            if let Ok(Some(status)) = child.try_wait() {
                panic!("the server exits with {status}: {printed} {}", read(&log));
            }
            let (base, _) = printed.split_once("/ops")?;
            Some(base[base.find("http")?..].to_owned())
        })
        .await;
        let token = self.env.get("ADMIN_API_TOKEN").map_or("", String::as_str);
        let client = Client::new(&base, token);
        let server = Server { child, base, client, log, out };
        server.until_ready().await;
        if self.has_world() {
            server.until_host().await;
        }
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
    out: PathBuf,
}

impl Server {
    /// What it has printed to stdout.
    pub fn printed(&self) -> String {
        read(&self.out)
    }

    /// Waits until the server is ready.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn until_ready(&self) {
        eventually("the server is ready", async || {
            let answer = self.client.send(self.client.bare(Method::GET, "/readyz")).await.ok()?;
            (answer.status == 200).then_some(())
        })
        .await;
    }

    /// Waits until a host is shown, if this client may read the status.
    async fn until_host(&self) {
        eventually("the host of the world", async || {
            let answer = self.client.get("status").await;
            let is_shown = answer.body["hosts"].as_array().is_some_and(|hosts| !hosts.is_empty());
            (answer.status != 200 || is_shown).then_some(())
        })
        .await;
    }

    /// Waits until the shown run state is `wanted`.
    ///
    /// # Panics
    /// When it does not become so.
    pub async fn until_state(&self, wanted: &str) -> serde_json::Value {
        eventually(&format!("run state {wanted}"), async || {
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
    }

    /// The process id.
    ///
    /// # Panics
    /// When it has ended already.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("a running process")
    }

    /// The most memory that its process has had.
    ///
    /// # Panics
    /// When the system does not say.
    pub fn peak_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.expect("the status of the process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.expect("its peak") / 1024
    }

    /// Sends SIGTERM and waits; whether it exited with success.
    ///
    /// # Panics
    /// When it does not exit, or takes longer than the 10 s that are promised.
    pub async fn terminate(mut self) -> bool {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().await;
        assert!(sent.is_ok_and(|status| status.success()), "kill -TERM");
        exits_in_time(&mut self.child).await
    }
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_default()
}

/// Waits until a process that was asked to exit has done so; whether it exited with success.
pub(crate) async fn exits_in_time(child: &mut Child) -> bool {
    let stopwatch = Stopwatch::start();
    let status = tokio::time::timeout(LIMIT, child.wait()).await.expect("it exits");
    assert!(stopwatch.elapsed() < EXIT_LIMIT, "{stopwatch:?}");
    status.expect("a status").success()
}
