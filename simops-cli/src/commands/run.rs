//! `run`: status, registry and reports of runs, and the run controls.

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::Value;
use simops::ops::{StartRun, StopRun};
use simops::report::RunComparison;
use simops::run::RunClass;

use crate::commands::values::{PageArgs, ReasonArgs};
use crate::exit::Failure;
use crate::globals::{FormatAlias, Globals};
use crate::print::{self, Output};
use crate::request::Request;
use crate::target;

const COLUMNS: &[&str] =
    &["run_id", "mode", "condition_name", "started_at", "ended_at", "ended_by", "end_reason"];

/// `run …`.
#[derive(Subcommand)]
pub(crate) enum RunCommand {
    /// Show the run, the state that hosts have confirmed, hosts, budget and guardrails
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
    /// End the current run for good, and pause the world
    #[command(after_help = "\
Examples:
  simops-cli run stop --reason 'week is over'")]
    Stop(StopArgs),
    /// Pause the current run
    #[command(after_help = "\
Examples:
  simops-cli run pause --reason 'looking into the bill'")]
    Pause(ReasonArgs),
    /// Resume a paused run, or one that a guardrail stopped
    #[command(after_help = "\
Examples:
  simops-cli run resume")]
    Resume(ReasonArgs),
    /// Build a new world and switch to it; an open run ends. Refused in production
    #[command(after_help = "\
Examples:
  simops-cli run reset --reason 'fresh world'")]
    Reset(ReasonArgs),
    /// Send every model call to the cheapest route, or undo that
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
    List(PageArgs),
    /// Show a run's registry row
    #[command(after_help = "\
Examples:
  simops-cli run show test-20260301T120000Z")]
    Show {
        /// The run
        run_id: String,
    },
    /// Show the report of a run: activity, cost and end
    #[command(after_help = "\
Examples:
  simops-cli run report test-20260301T120000Z
  simops-cli run report test-20260301T120000Z -o markdown > report.md

It is written once the run has ended; until then this shows a preview (final: false).
A run that was resumed after a guardrail's stop has a report of each end, listed as reported_ends:
  simops-cli run report test-20260301T120000Z --ended-at 2026-03-01T14:30:00Z")]
    Report {
        /// The run
        run_id: String,
        /// The report of an earlier end, in RFC 3339
        #[arg(long, value_name = "TIME")]
        ended_at: Option<Timestamp>,
        #[command(flatten)]
        _format: FormatAlias,
    },
    /// Show two runs side by side, with actions per dollar
    #[command(after_help = "\
Examples:
  simops-cli run compare test-20260301T120000Z test-20260302T120000Z
  simops-cli run compare a b -o json")]
    Compare {
        /// The first run
        a: String,
        /// The second
        b: String,
        #[command(flatten)]
        _format: FormatAlias,
    },
    /// Show the figures of a run: calls, actions, governance
    #[command(after_help = "\
Examples:
  simops-cli run metrics
  simops-cli run metrics --run-id test-20260301T120000Z")]
    Metrics(MetricsArgs),
}

/// Runs `run …`.
pub(crate) async fn run(globals: &Globals, command: RunCommand) -> Result<(), Failure> {
    let request = command.into();
    let result = target::ask(globals, &request).await?;
    print::show(&output(&request, result)?, globals.output)
}

/// A result in its forms.
fn output(request: &Request, result: Value) -> Result<Output, Failure> {
    match request {
        Request::Runs { .. } => Output::list(result, COLUMNS),
        Request::Report { .. } => {
            let markdown = result.get("markdown").and_then(Value::as_str).unwrap_or_default();
            let markdown = markdown.to_owned();
            Ok(Output::record(result)?.with_markdown(markdown))
        }
        Request::CompareRuns { .. } => {
            let output = Output::record(&result)?;
            let compared: RunComparison = serde_json::from_value(result).map_err(|error| {
                Failure::new(format!("the response is not a comparison: {error}"))
            })?;
            Ok(output.with_rows_of("figures", &[]).with_text(compared.table()))
        }
        _ => Output::record(result),
    }
}

/// `run start`. The library checks the fields.
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
    /// Its intended length [default: standard_72h]
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
    /// Show no run as the current one afterwards
    #[arg(long)]
    clear_run_id: bool,
    #[command(flatten)]
    why: ReasonArgs,
}

/// `run degrade`.
#[derive(Args)]
pub(crate) struct DegradeArgs {
    /// Undo it
    #[arg(long)]
    clear: bool,
    #[command(flatten)]
    why: ReasonArgs,
}

/// `run metrics`.
#[derive(Args)]
pub(crate) struct MetricsArgs {
    /// The run [default: the current one]
    #[arg(long, value_name = "ID")]
    run_id: Option<String>,
    /// The hours to look back when there is no run, 1 to 336
    #[arg(long, value_name = "HOURS", default_value_t = 24, allow_negative_numbers = true)]
    hours_fallback: i64,
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
            RunCommand::List(PageArgs { limit, cursor }) => Self::Runs { limit, cursor },
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
