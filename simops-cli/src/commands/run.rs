//! `run`: what is going on, and the run controls.

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use serde_json::Value;
use simops::ops::{ReasonBody, StartRun, StopRun};
use simops::report::RunComparison;
use simops::run::RunClass;

use crate::args::Globals;
use crate::commands::baseline::Format;
use crate::exit::Failure;
use crate::print;
use crate::request::Request;
use crate::target::Target;

/// `run …`.
#[derive(Subcommand)]
pub(crate) enum RunCommand {
    /// Show what is going on: run, confirmed state, hosts, budget, guardrails
    #[command(after_help = "\
Examples:
  simops-cli run status
  simops-cli run status | jq -r .run_state")]
    Status,
    /// Start a run
    #[command(after_help = "\
Examples:
  simops-cli run start --mode test --reset-world
  simops-cli run start --mode real --condition-name control --season-id s3 --season-number 3

A reset needs a live host (a server or `simops-cli worker`) to build the new world.
Hosts begin to act within a second; `simops-cli run status` shows `running` once all have.")]
    Start(Box<StartArgs>),
    /// End the current run for good, and pause
    #[command(after_help = "\
Examples:
  simops-cli run stop --reason 'week is over'")]
    Stop(StopArgs),
    /// Hold the current run still
    #[command(after_help = "\
Examples:
  simops-cli run pause --reason 'looking into the bill'")]
    Pause(ReasonArgs),
    /// Go on with a paused run, or with one that a guardrail stopped
    #[command(after_help = "\
Examples:
  simops-cli run resume")]
    Resume(ReasonArgs),
    /// Build a new world and show it; an open run ends. Never in production
    #[command(after_help = "\
Examples:
  simops-cli run reset --reason 'fresh world'")]
    Reset(ReasonArgs),
    /// Send every model call to the cheapest route, or no longer
    #[command(after_help = "\
Examples:
  simops-cli run degrade --reason 'soft cap near'
  simops-cli run degrade --clear")]
    Degrade(DegradeArgs),
    /// List the runs, newest first
    #[command(after_help = "\
Examples:
  simops-cli run list --limit 10
  simops-cli run list --cursor 41    (the next_cursor of the page before)")]
    List(ListArgs),
    /// Show a run's registry row
    #[command(after_help = "\
Examples:
  simops-cli run show test-20260301T120000Z")]
    Show {
        /// The run
        run_id: String,
    },
    /// Show the report of a run: what it did, what it cost, how it ended
    #[command(after_help = "\
Examples:
  simops-cli run report test-20260301T120000Z
  simops-cli run report test-20260301T120000Z --format markdown > report.md

It is written once the run has ended; before, it shows what it would say now (final: false).
A run that went on after a guardrail's stop has one of each end, listed as reported_ends:
  simops-cli run report test-20260301T120000Z --ended-at 2026-03-01T14:30:00Z")]
    Report {
        /// The run
        run_id: String,
        /// The report of an earlier end, in RFC 3339
        #[arg(long, value_name = "TIME")]
        ended_at: Option<Timestamp>,
        /// How to show it
        #[arg(long, default_value = "json")]
        format: ReportFormat,
    },
    /// Show two runs side by side, with what a dollar bought in each
    #[command(after_help = "\
Examples:
  simops-cli run compare test-20260301T120000Z test-20260302T120000Z
  simops-cli run compare a b --format json")]
    Compare {
        /// The first run
        a: String,
        /// The second
        b: String,
        /// How to show it
        #[arg(long, default_value = "table")]
        format: Format,
    },
    /// Show what a run has done: calls, actions, governance
    #[command(after_help = "\
Examples:
  simops-cli run metrics
  simops-cli run metrics --run-id test-20260301T120000Z")]
    Metrics(MetricsArgs),
}

/// How a report is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// For programs.
    Json,
    /// For people.
    Markdown,
}

/// Runs `run …`.
pub(crate) async fn run(globals: &Globals, command: RunCommand) -> Result<(), Failure> {
    let markdown = matches!(command, RunCommand::Report { format: ReportFormat::Markdown, .. });
    let table = matches!(command, RunCommand::Compare { format: Format::Table, .. });
    let answer = Target::of(globals).await?.ask(&command.into()).await?;
    if markdown {
        let text = answer.get("markdown").and_then(Value::as_str).unwrap_or_default();
        return print::raw(text.as_bytes());
    }
    if table {
        let compared: RunComparison = serde_json::from_value(answer)
            .map_err(|error| Failure::new(format!("the answer is no comparison: {error}")))?;
        return print::raw(compared.table().as_bytes());
    }
    print::json(&answer)
}

/// `run start`. What is allowed in a field is the library's to say.
#[derive(Args)]
pub(crate) struct StartArgs {
    /// test, for rehearsals, or real, for the record
    #[arg(long, value_name = "MODE", value_parser = PossibleValuesParser::new(["test", "real"]),
          hide_possible_values = true)]
    mode: String,
    /// Its name [default: MODE-YYYYMMDDTHHMMSSZ]
    #[arg(long, value_name = "ID")]
    run_id: Option<String>,
    /// The protocol it follows [default: protocol_v1]
    #[arg(long, value_name = "VERSION")]
    protocol_version: Option<String>,
    /// The experimental condition
    #[arg(long, value_name = "NAME")]
    condition_name: Option<String>,
    /// The hypothesis it tests
    #[arg(long, value_name = "ID")]
    hypothesis_id: Option<String>,
    /// The season; needs --season-number
    #[arg(long, value_name = "ID")]
    season_id: Option<String>,
    /// The season's number, 1 to 9999 (0: none)
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    season_number: Option<i64>,
    /// An existing run that this one continues
    #[arg(long, value_name = "ID")]
    parent_run_id: Option<String>,
    /// How state was carried over from the parent
    #[arg(long, value_name = "VERSION")]
    transfer_policy_version: Option<String>,
    /// Your name for the epoch
    #[arg(long, value_name = "ID")]
    epoch_id: Option<String>,
    /// How long it is meant to be [default: standard_72h]
    #[arg(long, value_name = "CLASS", value_parser = PossibleValuesParser::new(RunClass::NAMES))]
    run_class: Option<String>,
    /// An existing control run that this one mirrors
    #[arg(long, value_name = "ID")]
    mirror_control_run_id: Option<String>,
    /// The number of agents carried over from an earlier run
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    carryover_agent_count: Option<i64>,
    /// The number of new agents
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    fresh_agent_count: Option<i64>,
    /// It deviates from its protocol
    #[arg(long)]
    protocol_deviation: bool,
    /// How and why it deviates; may have several lines
    #[arg(long, value_name = "TEXT")]
    deviation_reason: Option<String>,
    /// Build a new world first; with mode test only
    #[arg(long)]
    reset_world: bool,
    #[command(flatten)]
    why: ReasonArgs,
}

/// `run stop`.
#[derive(Args)]
pub(crate) struct StopArgs {
    /// Show no run afterwards
    #[arg(long)]
    clear_run_id: bool,
    #[command(flatten)]
    why: ReasonArgs,
}

/// `run degrade`.
#[derive(Args)]
pub(crate) struct DegradeArgs {
    /// No longer
    #[arg(long)]
    clear: bool,
    #[command(flatten)]
    why: ReasonArgs,
}

/// `run list`.
#[derive(Args)]
pub(crate) struct ListArgs {
    /// At most so many, 1 to 500
    #[arg(long, value_name = "N", default_value_t = 50, allow_negative_numbers = true)]
    limit: i64,
    /// Go on where an earlier page ended
    #[arg(long)]
    cursor: Option<String>,
}

/// `run metrics`.
#[derive(Args)]
pub(crate) struct MetricsArgs {
    /// The run [default: the current one]
    #[arg(long, value_name = "ID")]
    run_id: Option<String>,
    /// Without a run, look so far back, 1 to 336 hours
    #[arg(long, value_name = "HOURS", default_value_t = 24, allow_negative_numbers = true)]
    hours_fallback: i64,
}

/// Why something is done.
#[derive(Args)]
pub(crate) struct ReasonArgs {
    /// Why, for the audit trail
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

impl From<ReasonArgs> for ReasonBody {
    fn from(args: ReasonArgs) -> Self {
        Self { reason: args.reason }
    }
}

impl From<RunCommand> for Request {
    fn from(command: RunCommand) -> Self {
        match command {
            RunCommand::Status => Self::Status,
            RunCommand::Start(args) => Self::Start(Box::new((*args).into())),
            RunCommand::Stop(args) => Self::Stop(StopRun {
                clear_run_id: args.clear_run_id.then_some(true),
                reason: args.why.reason,
            }),
            RunCommand::Pause(args) => Self::Pause(args.into()),
            RunCommand::Resume(args) => Self::Resume(args.into()),
            RunCommand::Reset(args) => Self::Reset(args.into()),
            RunCommand::Degrade(args) if args.clear => Self::ClearDegrade(args.why.into()),
            RunCommand::Degrade(args) => Self::Degrade(args.why.into()),
            RunCommand::List(args) => Self::Runs { limit: args.limit, cursor: args.cursor },
            RunCommand::Show { run_id } => Self::Run { run_id },
            RunCommand::Report { run_id, ended_at, .. } => Self::Report { run_id, ended_at },
            RunCommand::Compare { a, b, .. } => Self::CompareRuns { a, b },
            RunCommand::Metrics(args) => {
                Self::Metrics { run_id: args.run_id, hours_fallback: args.hours_fallback }
            }
        }
    }
}

impl From<StartArgs> for StartRun {
    fn from(args: StartArgs) -> Self {
        Self {
            mode: Some(args.mode),
            run_id: args.run_id,
            protocol_version: args.protocol_version,
            condition_name: args.condition_name,
            hypothesis_id: args.hypothesis_id,
            season_id: args.season_id,
            season_number: args.season_number,
            parent_run_id: args.parent_run_id,
            transfer_policy_version: args.transfer_policy_version,
            epoch_id: args.epoch_id,
            run_class: args.run_class,
            mirror_control_run_id: args.mirror_control_run_id,
            carryover_agent_count: args.carryover_agent_count,
            fresh_agent_count: args.fresh_agent_count,
            protocol_deviation: args.protocol_deviation.then_some(true),
            deviation_reason: args.deviation_reason,
            reset_world: args.reset_world.then_some(true),
            reason: args.why.reason,
        }
    }
}
