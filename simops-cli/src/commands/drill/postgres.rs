//! A Postgres of the drill's own, on a free port.

use std::io::Error;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::stage::free_address;
use crate::exit::Failure;

/// Quick rather than safe from power cuts, which no drill makes.
const SETTINGS: &str = "-c fsync=off -c listen_addresses=127.0.0.1 -c max_connections=40";

/// A Postgres that the drill ends and starts.
pub(super) struct Postgres {
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
}

impl Postgres {
    /// Starts one in a folder of its own.
    pub(super) async fn start() -> Result<Self, Failure> {
        let address = free_address()?;
        let programs = programs().ok_or_else(|| {
            Failure::new(
                "initdb is not found; this drill needs a Postgres to end: apt-get install postgresql",
            )
        })?;
        let made = as_user("mktemp").args(["-d", "/tmp/simops-drill-XXXXXX"]).output().await;
        let made = made.map_err(|error| cannot("mktemp", &error))?;
        let folder = PathBuf::from(String::from_utf8_lossy(&made.stdout).trim());
        if folder.as_os_str().is_empty() {
            let reason = String::from_utf8_lossy(&made.stderr).trim().to_owned();
            return Err(Failure::new(format!("no folder for Postgres: {reason}")));
        }
        let postgres = Self { programs, folder, port: address.port() };
        let data = postgres.data();
        postgres.run("initdb", &["-A", "trust", "-U", "simops", "-N", "-D", &data]).await?;
        postgres.begin().await?;
        Ok(postgres)
    }

    pub(super) fn url(&self) -> String {
        format!("postgres://simops@127.0.0.1:{}/postgres", self.port)
    }

    pub(super) async fn begin(&self) -> Result<(), Failure> {
        let folder = self.folder.display();
        let options = format!("{SETTINGS} -p {} -k {folder}", self.port);
        let log = self.folder.join("log").display().to_string();
        let data = self.data();
        self.run("pg_ctl", &["start", "-w", "-o", &options, "-l", &log, "-D", &data]).await
    }

    /// Ends it as a crash would.
    pub(super) async fn crash(&self) -> Result<(), Failure> {
        self.run("pg_ctl", &["stop", "-w", "-m", "immediate", "-D", &self.data()]).await
    }

    /// Ends its sessions and itself in order, and starts it again.
    pub(super) async fn restart(&self) -> Result<(), Failure> {
        self.run("pg_ctl", &["stop", "-w", "-m", "fast", "-D", &self.data()]).await?;
        self.begin().await
    }

    fn data(&self) -> String {
        self.folder.join("data").display().to_string()
    }

    async fn run(&self, program: &str, arguments: &[&str]) -> Result<(), Failure> {
        let path = self.programs.join(program);
        let mut command = as_user(&path.to_string_lossy());
        // The server keeps what it inherits: a pipe would never end.
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let ended = command.status().await.map_err(|error| cannot(program, &error))?;
        if ended.success() {
            return Ok(());
        }
        Err(Failure::new(format!("{program} of {} fails", self.programs.display())))
    }
}

impl Drop for Postgres {
    /// Ends it for good, with all it holds.
    fn drop(&mut self) {
        let quietly = |mut command: Command| {
            let command = command.as_std_mut().stdin(Stdio::null());
            // A failed drill may have left it ended, or not yet begun.
            let _ = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        };
        let mut end = as_user(&self.programs.join("pg_ctl").to_string_lossy());
        end.args(["stop", "-w", "-m", "immediate", "-D", &self.data()]);
        quietly(end);
        let mut remove = as_user("rm");
        remove.arg("-rf").arg(&self.folder);
        quietly(remove);
    }
}

fn cannot(program: &str, error: &Error) -> Failure {
    Failure::new(format!("{program} cannot be started: {error}"))
}

/// The newest server's programs; distributions keep them off the path.
fn programs() -> Option<PathBuf> {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<_> = std::env::split_paths(&on_path).collect();
    folders.extend(versions.map(|version| version.path().join("bin")));
    folders.retain(|folder| folder.join("initdb").exists());
    folders.sort();
    folders.pop()
}

/// A program, never run by root: Postgres refuses that.
fn as_user(program: &str) -> Command {
    let is_root = std::fs::metadata(Path::new("/proc/self")).is_ok_and(|own| own.uid() == 0);
    let mut command = Command::new(if is_root { "runuser" } else { program });
    if is_root {
        command.args(["-u", "postgres", "--", program]);
    }
    command.current_dir("/tmp");
    command
}
