//! `guardrail`: stop conditions replayed on past runs.

use clap::Subcommand;
use jiff::Timestamp;
use serde_json::{Value, json};
use simops::ops::BacktestQuery;

use crate::commands::config::updates;
use crate::commands::values::{assignment, since};
use crate::exit::Failure;
use crate::globals::Globals;
use crate::print::{self, Output};
use crate::target::Direct;

const COLUMNS: &[&str] = &[
    "run_id",
    "condition",
    "outcome",
    "would_have_tripped_at",
    "observed",
    "threshold",
    "calls_before",
    "cost_usd_before",
];

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
    Backtest {
        /// Runs open since a time, a date or a duration ago: 2026-03-01T12:00:00Z, 2026-03-01, 7d
        #[arg(long, value_name = "WHEN", value_parser = since, required_unless_present = "run_id")]
        since: Option<Timestamp>,
        /// Only this run
        #[arg(long, value_name = "ID")]
        run_id: Option<String>,
        /// A setting and the value to try
        #[arg(long = "set", value_name = "KEY=VALUE", value_parser = assignment)]
        settings: Vec<(String, String)>,
    },
}

pub(crate) async fn run(globals: &Globals, command: GuardrailCommand) -> Result<(), Failure> {
    let GuardrailCommand::Backtest { since, run_id, settings } = command;
    let on = globals.database_only("the admin API has no endpoint that replays the ledger")?;
    let direct = Direct::open_to_read(on).await?;
    let settings = updates(settings, &json!(direct.ops.config().await?))?;
    let query = BacktestQuery { since, run_id, settings };
    let tested = json!(direct.ops.backtest(&query).await?);
    let rows = trials(&tested);
    print::show(&Output::record(tested).with_rows(rows, COLUMNS), globals.output)
}

/// A row per run and condition.
fn trials(tested: &Value) -> Vec<Value> {
    let list = |value: &Value, field: &str| value[field].as_array().cloned().unwrap_or_default();
    let of_run = |run: Value| {
        list(&run, "conditions").into_iter().map(move |mut trial| {
            trial["run_id"] = run["run_id"].clone();
            trial
        })
    };
    list(tested, "runs").into_iter().flat_map(of_run).collect()
}
