//! `drill`: stages a real failure, with processes of its own on free ports and a database in a folder of
//! its own, and compares what happens with what must happen.

mod db_reconnect;
mod peer;
mod postgres;
mod provider_outage;
mod redis;
mod redis_unavailable;
mod report;
mod stage;

use clap::Subcommand;

use crate::exit::Failure;
use crate::globals::Globals;
use crate::print::{self, Output};
use report::Report;

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
    match report.differing() {
        0 => Ok(()),
        differing => {
            let all = report.checks.len();
            Err(Failure::new(format!("{differing} of {all} checks saw something else")))
        }
    }
}
