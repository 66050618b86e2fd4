//! The commands, each with its arguments. A command asks [`Globals`] for what it works on.

mod agent;
mod alert;
mod audit;
mod baseline;
mod budgets;
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
mod prune;
mod run;
mod usage;
mod values;
mod worker;

use clap::Subcommand;
use simops::settings::Registry;

use crate::exit::Failure;
use crate::globals::Globals;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Show runs and control them
    #[command(subcommand)]
    Run(run::RunCommand),
    /// Read and change runtime settings
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// List budgets, define and delete them
    #[command(subcommand)]
    Budgets(budgets::BudgetsCommand),
    /// Read and verify the audit trail
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Read the event log
    #[command(subcommand)]
    Events(events::EventsCommand),
    /// Read the usage ledger, and verify the sums that are kept of it
    #[command(subcommand)]
    Usage(usage::UsageCommand),
    /// Read, import and verify visitors' events
    #[command(subcommand)]
    Kpi(kpi::KpiCommand),
    /// List, acknowledge and silence alerts
    #[command(subcommand)]
    Alert(alert::AlertCommand),
    /// Replay stop conditions on past runs
    #[command(subcommand)]
    Guardrail(guardrail::GuardrailCommand),
    /// Take a baseline, compare two, or draw one
    Baseline(baseline::BaselineArgs),
    /// Check a deployment
    #[command(subcommand)]
    Check(check::CheckCommand),
    /// Draft the weekly digest, and publish or discard it
    Digest(digest::DigestArgs),
    /// Take turns of agents of the reference world
    #[command(subcommand)]
    Agent(agent::AgentCommand),
    /// Run the reference world under run control, until SIGTERM or SIGINT
    Worker(worker::WorkerArgs),
    /// Examine everything that a deployment depends on, with advice
    Doctor(doctor::DoctorArgs),
    /// Maintain the database
    #[command(subcommand)]
    Database(database::DatabaseCommand),
    /// Delete old rows of events, ledger or visits; the sums kept of them stay
    Prune(prune::PruneArgs),
    /// Stage a failure and check what happens
    #[command(subcommand)]
    Drill(drill::DrillCommand),
    /// Print a shell's completion script
    Completions(completions::CompletionsArgs),
}

impl Command {
    /// Whether it runs until a signal ends it.
    pub(crate) fn is_long_running(&self) -> bool {
        matches!(self, Self::Worker(_))
    }
}

/// Runs a command. `definition` is the whole command line's, for its completions.
pub(crate) async fn run(
    globals: &Globals,
    command: Command,
    definition: fn() -> clap::Command,
) -> Result<(), Failure> {
    Registry::check_environment(|name| std::env::var(name).ok())?;
    match command {
        Command::Run(command) => run::run(globals, command).await,
        Command::Config(command) => config::run(globals, command).await,
        Command::Budgets(command) => budgets::run(globals, command).await,
        Command::Audit(command) => audit::run(globals, command).await,
        Command::Events(command) => events::run(globals, command).await,
        Command::Usage(command) => usage::run(globals, command).await,
        Command::Kpi(command) => kpi::run(globals, command).await,
        Command::Alert(command) => alert::run(globals, command).await,
        Command::Guardrail(command) => guardrail::run(globals, command).await,
        Command::Baseline(args) => baseline::run(globals, args).await,
        Command::Check(command) => check::run(globals, command).await,
        Command::Digest(args) => digest::run(globals, args).await,
        Command::Agent(command) => agent::run(globals, command).await,
        Command::Worker(args) => worker::run(globals, args).await,
        Command::Doctor(args) => doctor::run(globals, &args).await,
        Command::Database(command) => database::run(globals, command).await,
        Command::Prune(args) => prune::run(globals, args).await,
        Command::Drill(command) => drill::run(globals, command).await,
        Command::Completions(args) => completions::run(&args, definition()),
    }
}
