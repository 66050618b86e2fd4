//! `drill`: stages a failure for real, with processes of its own on free ports and a database in a
//! folder of its own, and checks that what is seen is what must be seen.

mod db_reconnect;
mod peer;
mod port;
mod postgres;
mod provider_outage;
mod redis;
mod redis_unavailable;
mod report;
mod stage;

use clap::Subcommand;

use crate::exit::Failure;
use crate::print;
use report::Report;

/// `drill …`.
#[derive(Subcommand)]
#[command(after_help = "\
Examples:
  simops-cli drill provider-outage
  simops-cli drill redis-unavailable
  simops-cli drill db-reconnect

A drill touches no database, Redis or provider but its own, which it starts on free ports of this
machine and removes at the end. It prints what must be seen beside what was seen, and exits with 1
if they differ.")]
pub(crate) enum DrillCommand {
    /// No provider, bad keys, a provider that is away and comes back: agents go on acting
    ProviderOutage,
    /// Redis is killed, comes back empty, hangs: calls are counted all the same (needs redis-server)
    RedisUnavailable,
    /// Postgres crashes, comes back, is restarted: all go on by themselves (needs Postgres's initdb)
    DbReconnect,
}

/// Runs `drill …`.
pub(crate) async fn run(command: DrillCommand) -> Result<(), Failure> {
    let report = match command {
        DrillCommand::ProviderOutage => {
            Report::of("provider-outage", provider_outage::stage).await?
        }
        DrillCommand::RedisUnavailable => {
            Report::of("redis-unavailable", redis_unavailable::stage).await?
        }
        DrillCommand::DbReconnect => Report::of("db-reconnect", db_reconnect::stage).await?,
    };
    print::json(&report)?;
    match report.differing() {
        0 => Ok(()),
        differing => {
            let all = report.checks.len();
            Err(Failure::new(format!("{differing} of {all} checks saw something else")))
        }
    }
}
