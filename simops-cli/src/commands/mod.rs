//! The commands, each with its arguments.

mod agent;
mod alert;
mod audit;
mod baseline;
mod check;
mod completions;
mod config;
mod database;
mod digest;
mod doctor;
mod drill;
mod events;
mod guardrail;
mod kpi;
mod kpi_import;
mod kpi_seed;
mod prune;
mod run;
mod usage;
mod worker;

use std::time::Duration;

use clap::Subcommand;
use jiff::Timestamp;
use simops::llm::{LlmArgs, LlmConfig, Router};
use simops::settings::Registry;
use simops::{Clock, SystemClock};

use crate::args::{Globals, Invocation};
use crate::exit::Failure;
use crate::print;
use crate::request::Request;
use crate::target::Target;

/// Model calls under way get so long to be booked; after that their leases expire into rows.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// The commands.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Look at runs and control them
    #[command(subcommand)]
    Run(run::RunCommand),
    /// Read and change runtime settings
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Read and verify the audit trail
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Read the event log
    #[command(subcommand)]
    Events(events::EventsCommand),
    /// Read the usage ledger, and check what is summed up from it
    #[command(subcommand)]
    Usage(usage::UsageCommand),
    /// Look at what visitors do, and record it
    #[command(subcommand)]
    Kpi(kpi::KpiCommand),
    /// See what calls for a person, and say that you know
    #[command(subcommand)]
    Alert(alert::AlertCommand),
    /// Try stop conditions on past runs
    #[command(subcommand)]
    Guardrail(guardrail::GuardrailCommand),
    /// Take a baseline of what runs now, compare two, or draw one
    Baseline(baseline::BaselineArgs),
    /// Check a deployment
    #[command(subcommand)]
    Check(check::CheckCommand),
    /// Draft the weekly digest, and publish or discard it
    Digest(digest::DigestArgs),
    /// Let agents of the reference world act
    #[command(subcommand)]
    Agent(agent::AgentCommand),
    /// Run the reference world under run control, until SIGTERM or SIGINT
    Worker(worker::WorkerArgs),
    /// Look at everything a deployment depends on, and say what to do about it
    Doctor,
    /// Maintain the database
    #[command(subcommand)]
    Database(database::DatabaseCommand),
    /// Delete old rows of events, ledger or visits; what was counted of them stays
    Prune(prune::PruneArgs),
    /// Stage a failure and check what is seen
    #[command(subcommand)]
    Drill(drill::DrillCommand),
    /// Print a shell's completion script
    Completions(completions::CompletionsArgs),
}

impl Command {
    /// Whether it runs until it is told to end.
    pub(crate) fn is_long_running(&self) -> bool {
        matches!(self, Self::Worker(_))
    }
}

/// Runs a command.
pub(crate) async fn run(invocation: Invocation) -> Result<(), Failure> {
    let Invocation { globals, command } = invocation;
    Registry::check_environment(|name| std::env::var(name).ok())?;
    match command {
        Command::Run(command) => run::run(&globals, command).await,
        Command::Config(command) => config::run(&globals, command).await,
        Command::Audit(command) => audit::run(&globals, command).await,
        Command::Events(command) => ask(&globals, &command.into()).await,
        Command::Usage(command) => usage::run(&globals, command).await,
        Command::Kpi(command) => kpi::run(&globals, command).await,
        Command::Alert(command) => alert::run(&globals, command).await,
        Command::Guardrail(command) => guardrail::run(&globals, command).await,
        Command::Baseline(args) => baseline::run(&globals, args).await,
        Command::Check(command) => check::run(&globals, command).await,
        Command::Digest(args) => digest::run(&globals, args).await,
        Command::Agent(command) => agent::run(&globals, command).await,
        Command::Worker(args) => worker::run(&globals, args).await,
        Command::Doctor => doctor::run(&globals).await,
        Command::Database(command) => database::run(&globals, command).await,
        Command::Prune(args) => prune::run(&globals, args).await,
        Command::Drill(command) => drill::run(command).await,
        Command::Completions(args) => completions::run(&args),
    }
}

/// Asks the target and prints its answer.
async fn ask(globals: &Globals, request: &Request) -> Result<(), Failure> {
    print::json(&Target::of(globals).await?.ask(request).await?)
}

/// Which models may be asked; a wrong value is wrong usage.
fn models(args: &LlmArgs) -> Result<LlmConfig, Failure> {
    args.config().map_err(|error| Failure::usage(error.detail()))
}

/// Waits a while for model calls under way.
async fn book_the_rest(router: Option<&Router>) {
    let Some(router) = router else { return };
    if let Err(pending) = router.flush(FLUSH_TIMEOUT).await {
        print::note(&format!("{pending} model calls were not booked in time; they expire later"));
    }
}

/// Refuses a server where only a database will do. A `SIMOPS_URL` that is merely there is ignored.
fn on_database_only(globals: &Globals, command: &str) -> Result<(), Failure> {
    if globals.url_is_explicit {
        let message = format!("{command} works on a database: use --database-url, not --url");
        return Err(Failure::usage(message));
    }
    Ok(())
}

/// The moment that an argument like `7d` or `2026-03-01` names.
fn since(text: &str) -> Result<Timestamp, String> {
    let moment = simops::ops::since(text, SystemClock.now());
    // clap names the argument already.
    moment.map_err(|error| error.fields().iter().map(|field| field.message.as_str()).collect())
}
