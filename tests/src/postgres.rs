//! A private Postgres that tests stop, kill, restart and follow with a standby.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::port::free_port;
use crate::wait::{eventually, eventually_blocking};

/// Settings of a small, quick server. Nothing survives a power cut, which no test makes; a killed
/// process loses nothing.
const SETTINGS: &str = "\
listen_addresses = '127.0.0.1'
max_connections = 300
shared_buffers = 32MB
fsync = off
full_page_writes = off
autovacuum_naptime = 5s
wal_level = replica
max_wal_senders = 4
log_min_messages = warning
";

/// A server of its own, on a free port of the loopback, in a fresh folder. It ends with the process
/// that started it, however that ends.
#[derive(Debug)]
pub struct PostgresServer {
    folder: PathBuf,
    port: u16,
    guardian: Child,
}

/// How a server is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Sessions are ended, then the server.
    Fast,
    /// At once, as a crash ends it.
    Immediate,
}

impl PostgresServer {
    /// The server that all tests of this process share, each with a database of its own.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<PostgresServer> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(SETTINGS))
    }

    /// A server that one test has for itself.
    ///
    /// # Panics
    /// When it does not start.
    pub fn own() -> Self {
        Self::start(SETTINGS)
    }

    /// A server that writes to the disk as one in earnest does: for figures.
    ///
    /// # Panics
    /// When it does not start.
    pub fn durable() -> Self {
        let safe: Vec<_> = SETTINGS
            .lines()
            .filter(|line| !line.starts_with("fsync") && !line.starts_with("full_page"))
            .collect();
        Self::start(&format!("{}\nshared_buffers = 256MB\n", safe.join("\n")))
    }

    fn start(settings: &str) -> Self {
        let folder = fresh_folder();
        let data = folder.join("data");
        let options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N"];
        must(as_owner("initdb").args(options).arg("-D").arg(&data));
        let mut server = Self { guardian: guardian(&folder), folder, port: free_port() };
        server.add_settings(settings);
        server.add_settings(&format!("unix_socket_directories = '{}'\n", server.folder.display()));
        server.begin();
        server
    }

    /// A standby that follows this server, promoted or not with [`PostgresServer::promote`]. With
    /// `synchronous`, commits of this server wait for it.
    ///
    /// # Panics
    /// When it does not start.
    pub fn standby(&self, synchronous: bool) -> Self {
        let folder = fresh_folder();
        let data = folder.join("data");
        let from = ["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "postgres"];
        must(
            as_owner("pg_basebackup")
                .args(from)
                .args(["-c", "fast", "-X", "stream", "-R", "-N", "-D"])
                .arg(&data),
        );
        let mut standby = Self { guardian: guardian(&folder), folder, port: free_port() };
        let socket = format!("unix_socket_directories = '{}'\n", standby.folder.display());
        standby.add_settings(&socket);
        standby.begin();
        if synchronous {
            self.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'");
            self.sql("postgres", "SELECT pg_reload_conf()");
            eventually_blocking("the standby is synchronous", || {
                let state = self.sql("postgres", "SELECT sync_state FROM pg_stat_replication");
                (state.trim() == "sync").then_some(())
            });
        }
        standby
    }

    /// Makes a standby the one that takes writes.
    ///
    /// # Panics
    /// When it refuses.
    pub fn promote(&self) {
        self.sql("postgres", "SELECT pg_promote(true, 30)");
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address of a database.
    pub fn url(&self, database: &str) -> String {
        url(self.port, database)
    }

    /// A new, empty database. It is dropped with its guard.
    ///
    /// # Panics
    /// When it cannot be created.
    pub fn database(&self) -> TestDatabase {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("test{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        TestDatabase { name, port: self.port }
    }

    /// What `psql` answers to a statement.
    ///
    /// # Panics
    /// When the server refuses it.
    pub fn sql(&self, database: &str, statement: &str) -> String {
        let output = psql(&self.url(database), statement);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{statement}: {stderr}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Ends it.
    ///
    /// # Panics
    /// When it does not end.
    pub fn stop(&mut self, end: End) {
        let mode = if end == End::Fast { "fast" } else { "immediate" };
        must(as_owner("pg_ctl").args(["stop", "-w", "-m", mode, "-D"]).arg(self.data()));
    }

    /// Starts it again after it has ended.
    ///
    /// # Panics
    /// When it does not start.
    pub fn begin(&mut self) {
        let log = self.folder.join("log");
        let port = format!("-p {}", self.port);
        let mut start = as_owner("pg_ctl");
        start
            .args(["start", "-w", "-t", "60", "-o", &port, "-l"])
            .arg(&log)
            .arg("-D")
            .arg(self.data());
        // The server inherits what it is given, and would keep a pipe open.
        let started =
            start.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        let stderr = || std::fs::read_to_string(&log).unwrap_or_default();
        assert!(started.expect("pg_ctl starts").success(), "Postgres does not start: {}", stderr());
    }

    /// Adds lines to its configuration, in force from its next start.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn add_settings(&self, lines: &str) {
        let path = self.data().join("postgresql.conf");
        let before = std::fs::read_to_string(&path).expect("its configuration");
        std::fs::write(&path, format!("{before}\n{lines}\n")).expect("its configuration");
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        // The guardian process ends the server when its pipe closes.
        drop(self.guardian.stdin.take());
        let _ = self.guardian.wait();
    }
}

/// A database of a test, dropped with this.
#[derive(Debug)]
pub struct TestDatabase {
    /// What it is called.
    pub name: String,
    port: u16,
}

impl TestDatabase {
    /// Its address.
    pub fn url(&self) -> String {
        url(self.port, &self.name)
    }

    /// Its address on another port: that of a proxy or a pooler.
    pub fn url_at(&self, port: u16) -> String {
        url(port, &self.name)
    }

    /// What `psql` answers to a statement.
    ///
    /// # Panics
    /// When `psql` cannot be started.
    pub fn sql(&self, statement: &str) -> String {
        String::from_utf8_lossy(&psql(&self.url(), statement).stdout).into_owned()
    }
}

impl TestDatabase {
    /// Has another program hold a table for itself.
    ///
    /// # Panics
    /// When it does not get it.
    pub async fn hold(&self, table: &str) -> Held<'_> {
        let statement = format!("BEGIN; LOCK TABLE {table}; {HOLDING}");
        let holder = Command::new("psql")
            .args(["-X", "-q", "-c", &statement, &self.url()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("psql starts");
        let held = Held { database: self, holder };
        let locks = format!(
            "SELECT count(*) FROM pg_locks WHERE relation = '{table}'::regclass \
             AND mode = 'AccessExclusiveLock' AND granted"
        );
        eventually("the table is held", async || (self.sql(&locks).trim() == "1").then_some(()))
            .await;
        held
    }
}

/// What a session that holds a table does meanwhile.
const HOLDING: &str = "SELECT pg_sleep(3600)";

/// A table that another program holds, until this is dropped.
#[derive(Debug)]
pub struct Held<'d> {
    database: &'d TestDatabase,
    holder: Child,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.database.sql(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%{HOLDING}%' \
             AND pid <> pg_backend_pid() AND datname = current_database()"
        ));
        // It ends with its session.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        // Its server may be gone already.
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let _ = psql(&url(self.port, "postgres"), &drop);
    }
}

fn url(port: u16, database: &str) -> String {
    format!("postgres://postgres@127.0.0.1:{port}/{database}")
}

fn psql(url: &str, statement: &str) -> Output {
    let options = ["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-c", statement, url];
    Command::new("psql").args(options).stdin(Stdio::null()).output().expect("psql starts")
}

/// Where the server's programs are; distributions keep them off the path.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut bins: Vec<_> = versions.map(|version| version.path().join("bin")).collect();
    bins.retain(|bin| bin.join("initdb").exists());
    bins.sort();
    bins.pop().unwrap_or_default()
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// A program of the server, run by a user that the server accepts.
fn as_owner(program: &str) -> Command {
    as_user(&programs().join(program).to_string_lossy())
}

/// A program, never run by root: servers refuse that.
pub(crate) fn as_user(program: &str) -> Command {
    let mut command = if is_root() {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--", program]);
        command
    } else {
        Command::new(program)
    };
    command.current_dir("/tmp").env("LC_ALL", "C.UTF-8");
    command
}

fn must(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
}

/// A folder that the server's user owns.
pub(crate) fn fresh_folder() -> PathBuf {
    let made = as_user("mktemp").args(["-d", "/tmp/simops-postgres-XXXXXX"]).output();
    let made = made.expect("mktemp starts");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    PathBuf::from(String::from_utf8_lossy(&made.stdout).trim())
}

/// Waits until the test process has ended, then ends the server and deletes its folder.
fn guardian(folder: &Path) -> Child {
    let script = "cat >/dev/null; \"$0/pg_ctl\" stop -w -m immediate -D \"$1/data\" \
                  >/dev/null 2>&1; rm -rf \"$1\"";
    let mut command = as_user("sh");
    command.args(["-c", script]).arg(programs()).arg(folder);
    // Another group, so that an interrupt at the terminal does not end it before its work.
    command.process_group(0);
    let quiet = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.spawn().expect("sh starts")
}
