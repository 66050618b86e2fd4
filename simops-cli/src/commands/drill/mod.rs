//! `drill`: stages a real failure, with processes of its own on free ports and a database in a folder of
//! its own, and compares what happens with what must happen.

mod db_reconnect;
mod peer;
mod postgres;
mod provider_outage;
mod redis;
mod redis_unavailable;
mod stage;

use std::time::Instant;

use clap::Subcommand;
use serde::Serialize;
use serde_json::Value;

use crate::exit::Failure;
use crate::globals::Globals;
use crate::print::{self, Output};
use crate::progress::Bar;
use crate::signal;

const COLUMNS: &[&str] = &["passed", "when", "must_be_seen", "seen"];

#[derive(Subcommand)]
#[command(after_help = "\
Examples:
  simops-cli drill provider-outage
  simops-cli drill redis-unavailable
  simops-cli drill db-reconnect

A drill touches no database, Redis or provider but its own, which it starts on free ports of this
machine and removes at the end. It prints what was expected and what was seen, and exits with 1 if they
differ.")]
pub(crate) enum DrillCommand {
    /// No provider, bad keys, an unavailable provider: agents still act
    ProviderOutage,
    /// Redis is killed, comes back empty, hangs: every call is counted (needs redis-server)
    RedisUnavailable,
    /// Postgres crashes and is restarted: every process reconnects (needs Postgres's initdb)
    DbReconnect,
}

pub(crate) async fn run(globals: &Globals, command: DrillCommand) -> Result<(), Failure> {
    globals.no_target()?;
    let report = match command {
        DrillCommand::ProviderOutage => {
            Report::of("provider-outage", provider_outage::stage).await?
        }
        DrillCommand::RedisUnavailable => {
            Report::of("redis-unavailable", redis_unavailable::stage).await?
        }
        DrillCommand::DbReconnect => Report::of("db-reconnect", db_reconnect::stage).await?,
    };
    let output = Output::record(&report).with_rows_of("checks", COLUMNS);
    print::show(&output, globals.output)?;
    match report.checks.iter().filter(|check| !check.passed).count() {
        0 => Ok(()),
        differing => {
            let all = report.checks.len();
            Err(Failure::new(format!("{differing} of {all} checks saw something else")))
        }
    }
}

#[derive(Serialize)]
struct Report {
    drill: &'static str,
    passed: bool,
    seconds: f64,
    checks: Vec<Check>,
}

/// One expectation.
#[derive(Serialize)]
struct Check {
    /// The failure that was staged.
    when: &'static str,
    must_be_seen: &'static str,
    seen: Value,
    passed: bool,
}

/// The checks of a running drill. Each is printed to stderr when it is made; a terminal shows the wait
/// for the next one.
struct Checks {
    when: &'static str,
    bar: Bar,
    made: Vec<Check>,
}

impl Report {
    /// The report of a drill, from its beginning to its end.
    async fn of(
        drill: &'static str,
        stage: impl AsyncFnOnce(&mut Checks) -> Result<(), Failure>,
    ) -> Result<Self, Failure> {
        let began = Instant::now();
        let mut checks =
            Checks { when: "", bar: Bar::spinner("setting the stage"), made: Vec::new() };
        let interrupted = signal::interruption()?;
        // Processes that were started end with the stage.
        tokio::select! {
            staged = stage(&mut checks) => staged?,
            () = interrupted => return Err(Failure::interrupted()),
        }
        let checks = checks.made;
        let passed = checks.iter().all(|check| check.passed);
        let seconds = (began.elapsed().as_secs_f64() * 10.0).round() / 10.0;
        Ok(Self { drill, passed, seconds, checks })
    }
}

impl Checks {
    /// Announces the next failure.
    fn when(&mut self, when: &'static str) {
        self.bar.note(when);
        self.bar.show_message(when);
        self.when = when;
    }

    /// Records what was seen, and whether it was expected.
    fn note(&mut self, must_be_seen: &'static str, seen: impl Into<Value>, passed: bool) {
        let seen = seen.into();
        let word = if passed { "seen" } else { "NOT SEEN" };
        self.bar.note(&format!("  {word}: {must_be_seen} ({seen})"));
        self.made.push(Check { when: self.when, must_be_seen, seen, passed });
    }
}
