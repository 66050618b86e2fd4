//! `guardrail`: what stop conditions would have done.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use simops::ops::BacktestQuery;

use crate::args::Globals;
use crate::commands::config::{assignment, updates};
use crate::commands::{on_database_only, since};
use crate::exit::Failure;
use crate::print;
use crate::request::Request;
use crate::target::Direct;

/// `guardrail …`.
#[derive(Subcommand)]
pub(crate) enum GuardrailCommand {
    /// Replay the ledger of past runs: which thresholds would have stopped them, and when
    #[command(after_help = "\
Examples:
  simops-cli guardrail backtest --since 7d
  simops-cli guardrail backtest --since 2026-03-01 --set LLM_DAILY_BUDGET_USD_HARD=0.75
  simops-cli guardrail backtest --run-id test-20260301T120000Z \\
      --set STOP_PROVIDER_FAILURE_THRESHOLD=10 --set STOP_PROVIDER_FAILURE_RATE_THRESHOLD=0.8

Nothing is changed. The settings in force count where --set does not say otherwise. A condition that
would not have tripped shows the greatest figure it saw. The ledger holds no figures of the database
pool (not_recorded), no pauses and no refused calls.")]
    Backtest(BacktestArgs),
}

/// `guardrail backtest`.
#[derive(Args)]
pub(crate) struct BacktestArgs {
    /// Runs open since a time, a date or a duration ago: 2026-03-01T12:00:00Z, 2026-03-01, 7d
    #[arg(long, value_name = "WHEN", value_parser = since, required_unless_present = "run_id")]
    since: Option<Timestamp>,
    /// Only this run
    #[arg(long, value_name = "ID")]
    run_id: Option<String>,
    /// A setting and the value to try
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = assignment)]
    settings: Vec<(String, String)>,
}

/// Runs `guardrail …`.
pub(crate) async fn run(globals: &Globals, command: GuardrailCommand) -> Result<(), Failure> {
    let GuardrailCommand::Backtest(BacktestArgs { since, run_id, settings }) = command;
    on_database_only(globals, "guardrail backtest")?;
    let direct = Direct::open(globals).await?;
    let settings = updates(settings, &direct.ask(&Request::Config).await?)?;
    let query = BacktestQuery { since, run_id, settings };
    print::json(&direct.ops().backtest(&query).await?)
}
