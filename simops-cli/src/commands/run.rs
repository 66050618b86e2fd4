//! `run`: status, registry and reports of runs, and the run controls.

use std::str::FromStr;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};
use simops::ops::{
    ListedRun, Listing, Ops, PatchLimits, ReasonBody, RunBody, RunsQuery, StartRun, StopRun, Writer,
};
use simops::report::{RunComparison, RunsReport};
use simops::run::{AtLimit, RunSelection};

use crate::commands::values::{GroupArgs, PageArgs, label, labels};
use crate::exit::Failure;
use crate::globals::{FormatAlias, Globals};
use crate::print::{self, Output};
use crate::target::{Route, Target, get, post, read, write};

const COLUMNS: &[&str] =
    &["run_id", "mode", "condition_name", "started_at", "ended_at", "ended_by", "end_reason"];
/// The columns of a table with figures.
const FIGURES: &[&str] = &[
    "run_id",
    "condition_name",
    "labels",
    "started_at",
    "ended_at",
    "llm.calls",
    "llm.estimated_cost_usd",
    "activity.checkpoint_actions",
    "activity.deterministic_actions",
    "governance.proposals_created",
    "governance.votes_cast",
];

/// The columns of a control of all runs.
const CONTROLLED: &[&str] = &["run_id", "changed", "simulation_active", "simulation_paused"];

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
  simops-cli run start --mode test --group-id pilot --label seed=3 --label temperature=0.7
  simops-cli run start --mode test --run-id pilot-7 --host gateway --max-usd 2 --at-limit stop

A reset needs a live host (a server or `simops-cli worker`) to build the new world.
Hosts begin to act within a second; `simops-cli run status` shows `running` once all have.")]
    Start(Box<StartArgs>),
    /// End a run for good; the current one, unless another is named
    #[command(after_help = "\
Examples:
  simops-cli run stop --reason 'week is over'
  simops-cli run stop --run-id pilot-7
  simops-cli run stop --all")]
    Stop(StopArgs),
    /// Pause a run; the current one, unless another is named
    #[command(after_help = "\
Examples:
  simops-cli run pause --reason 'looking into the bill'
  simops-cli run pause --run-id pilot-7
  simops-cli run pause --all")]
    Pause(PauseArgs),
    /// Resume a paused run, or one that a guardrail stopped; the current one, unless another is named
    #[command(after_help = "\
Examples:
  simops-cli run resume
  simops-cli run resume --run-id pilot-7")]
    Resume(RunBody),
    /// Change the limits of an open run; it is paused or ended when it reaches one
    #[command(after_help = "\
Examples:
  simops-cli run limits --max-usd 5 --max-duration-minutes 240
  simops-cli run limits --run-id pilot-7 --max-calls 20000 --resume
  simops-cli run limits --max-tokens none

A limit is a number, or none to remove it. With --resume the run goes on in the same step.
A limit that the run has reached already needs --force.")]
    Limits(LimitsArgs),
    /// Build a new world and switch to it; its open run ends. Refused in production
    #[command(after_help = "\
Examples:
  simops-cli run reset --reason 'fresh world'

The world is that of the run that --run-id names, by default of the current one.")]
    Reset(RunBody),
    /// Send every model call to the cheapest route, or undo that
    #[command(after_help = "\
Examples:
  simops-cli run degrade --reason 'soft cap near'
  simops-cli run degrade --clear")]
    Degrade {
        /// Undo it
        #[arg(long)]
        clear: bool,
        #[command(flatten)]
        why: ReasonBody,
    },
    /// List the runs, newest first
    #[command(after_help = "\
Examples:
  simops-cli run list --limit 10
  simops-cli run list --cursor 41    (the next_cursor of the page before)
  simops-cli run list --group-id pilot --label seed=3
  simops-cli run list --group-id pilot --figures --all -o csv > pilot.csv")]
    List(ListArgs),
    /// Show a run's registry row
    #[command(after_help = "\
Examples:
  simops-cli run show test-20260301T120000Z")]
    Show {
        /// The run
        run_id: String,
    },
    /// Show the report of a run, or of the runs of a group or with a label
    #[command(after_help = "\
Examples:
  simops-cli run report test-20260301T120000Z
  simops-cli run report test-20260301T120000Z -o markdown > report.md

It is written once the run has ended; until then this shows a preview (final: false).
A run that was resumed after a guardrail's stop has a report of each end, listed as reported_ends:
  simops-cli run report test-20260301T120000Z --ended-at 2026-03-01T14:30:00Z

Of the runs of a group or with a label, at most 500: a row per run with its cost and metrics, and summaries
by condition, or by the values of a label: n, mean, standard deviation, 95 % interval, least, greatest.
  simops-cli run report --group-id pilot
  simops-cli run report --group-id pilot --by temperature -o json
  simops-cli run report --group-id pilot --label seed=3 -o csv > runs.csv
  simops-cli run report --group-id pilot --summary -o csv > summary.csv")]
    Report(ReportArgs),
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
    Metrics {
        /// The run [default: the current one]
        #[arg(long, value_name = "ID")]
        run_id: Option<String>,
        /// The hours to look back when there is no run, 1 to 336
        #[arg(long, value_name = "HOURS", default_value_t = 24, allow_negative_numbers = true)]
        hours_fallback: i64,
    },
}

/// Limits of a run.
#[derive(Args)]
pub(crate) struct Limits {
    /// The most that its calls may cost, in US dollars
    #[arg(long, value_name = "USD", value_parser = usd, allow_negative_numbers = true)]
    max_usd: Option<Value>,
    /// The most calls to models
    #[arg(long, value_name = "N", value_parser = whole, allow_negative_numbers = true)]
    max_calls: Option<Value>,
    /// The most tokens
    #[arg(long, value_name = "N", value_parser = whole, allow_negative_numbers = true)]
    max_tokens: Option<Value>,
    /// The most actions of its agents
    #[arg(long, value_name = "N", value_parser = whole, allow_negative_numbers = true)]
    max_actions: Option<Value>,
    /// The most minutes, pauses not counted
    #[arg(long, value_name = "N", value_parser = whole, allow_negative_numbers = true)]
    max_duration_minutes: Option<Value>,
    /// What becomes of the run at a limit [default: pause]
    #[arg(long, value_name = "WHAT", value_parser = AtLimit::NAMES)]
    at_limit: Option<String>,
}

impl Limits {
    /// The given limits by name.
    fn given(self) -> Map<String, Value> {
        let limits = [
            ("max_usd", self.max_usd),
            ("max_calls", self.max_calls),
            ("max_tokens", self.max_tokens),
            ("max_actions", self.max_actions),
            ("max_duration_minutes", self.max_duration_minutes),
            ("at_limit", self.at_limit.map(Value::from)),
        ];
        let given = limits.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        given.collect()
    }
}

/// A number, or `none`.
fn number<T: FromStr>(text: &str, what: &str) -> Result<Value, String>
where
    Value: From<T>,
{
    if text == "none" {
        return Ok(Value::Null);
    }
    // JSON has no other numbers than finite ones: they would be none.
    let number = text.parse::<T>().map(Value::from).ok().filter(|number| !number.is_null());
    number.ok_or_else(|| format!("must be {what}, or none"))
}

fn usd(text: &str) -> Result<Value, String> {
    number::<f64>(text, "a number of US dollars")
}

fn whole(text: &str) -> Result<Value, String> {
    number::<i64>(text, "a whole number")
}

#[derive(Args)]
pub(crate) struct LimitsArgs {
    /// The run [default: the current one]
    #[arg(long, value_name = "ID")]
    run_id: Option<String>,
    #[command(flatten)]
    limits: Limits,
    /// Let a run go on that is paused, or that a limit ended
    #[arg(long)]
    resume: bool,
    /// Set a limit that the run has reached already
    #[arg(long)]
    force: bool,
    /// The reason, for the audit trail
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

#[derive(Args)]
pub(crate) struct StopArgs {
    #[command(flatten)]
    stop: StopRun,
    /// End every open run
    #[arg(long, conflicts_with_all = ["run_id", "clear_run_id"])]
    all: bool,
}

#[derive(Args)]
pub(crate) struct PauseArgs {
    #[command(flatten)]
    pause: RunBody,
    /// Pause every open run
    #[arg(long, conflicts_with = "run_id")]
    all: bool,
}

#[derive(Args)]
pub(crate) struct StartArgs {
    #[command(flatten)]
    start: StartRun,
    /// A value by which the run is found and compared; may be given up to 20 times
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    #[command(flatten)]
    limits: Limits,
}

impl StartArgs {
    fn request(self) -> Result<StartRun, Failure> {
        let labels = labels(self.labels)?;
        let limits = Some(self.limits.given()).filter(|limits| !limits.is_empty());
        let labels = Some(labels).filter(|labels| !labels.is_empty());
        Ok(StartRun { labels, limits, ..self.start })
    }
}

#[derive(Args)]
pub(crate) struct ReportArgs {
    /// The run
    #[arg(required_unless_present_any = ["group_id", "labels"], conflicts_with_all = ["group_id", "labels"])]
    run_id: Option<String>,
    /// The report of an earlier end, in RFC 3339
    #[arg(long, value_name = "TIME", conflicts_with_all = ["group_id", "labels"])]
    ended_at: Option<Timestamp>,
    #[command(flatten)]
    runs: GroupArgs,
    /// Summarise by the values of this label [default: by condition]
    #[arg(long, value_name = "LABEL", conflicts_with = "run_id")]
    by: Option<String>,
    /// As CSV, print the summaries in place of the runs
    #[arg(long, conflicts_with = "run_id")]
    summary: bool,
    #[command(flatten)]
    _format: FormatAlias,
}

impl ReportArgs {
    async fn read(self, globals: &Globals) -> Result<Output, Failure> {
        let Some(run_id) = self.run_id else {
            return runs_report(globals, self.runs.selection()?, self.by, self.summary).await;
        };
        let ended_at = self.ended_at;
        let route = get("runs").named("run", &run_id).at("report").with("ended_at", ended_at);
        let report = read(globals, route, async |ops| ops.report(&run_id, ended_at).await).await?;
        let markdown = report["markdown"].as_str().unwrap_or_default().to_owned();
        Ok(Output::record(report).with_markdown(markdown))
    }
}

/// The report of several runs: as a table the summaries, as CSV the runs or the summaries.
async fn runs_report(
    globals: &Globals,
    selection: RunSelection,
    by: Option<String>,
    summary: bool,
) -> Result<Output, Failure> {
    let mut route = get("run/report").with("group_id", selection.group_id.as_ref());
    for label in selection.label_filters() {
        route = route.with("label", Some(label));
    }
    let (route, by) = (route.with("by", by.as_ref()), by.as_deref());
    let report = read(globals, route, async |ops| ops.runs_report(&selection, by).await).await?;
    let output = Output::record(&report);
    let report: RunsReport = serde_json::from_value(report)
        .map_err(|error| Failure::new(format!("the response is not a report: {error}")))?;
    let csv = if summary { report.summary_csv() } else { report.csv() };
    Ok(output.with_text(report.table()).with_csv(csv))
}

#[derive(Args)]
pub(crate) struct ListArgs {
    /// Only runs of this group
    #[arg(long, value_name = "ID")]
    group_id: Option<String>,
    /// Only runs with this label; given several times, only runs with all of them
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// Add the figures of each run: calls, cost, actions, governance
    #[arg(long)]
    figures: bool,
    /// List every run, in place of a page
    #[arg(long, conflicts_with_all = ["limit", "cursor"])]
    all: bool,
    #[command(flatten)]
    page: PageArgs,
}

/// The greatest page of a list.
const MAX_PAGE: i64 = 500;

impl ListArgs {
    fn query(&self) -> RunsQuery {
        RunsQuery {
            group_id: self.group_id.clone(),
            labels: self.labels.iter().map(|(name, value)| format!("{name}:{value}")).collect(),
            figures: self.figures,
            cursor: self.page.cursor.clone(),
            limit: if self.all { MAX_PAGE } else { self.page.limit },
        }
    }

    /// A page, or all pages as one.
    async fn read(&self, globals: &Globals) -> Result<Value, Failure> {
        let target = Target::of(globals, false).await?;
        let (mut query, mut items) = (self.query(), Vec::new());
        loop {
            let mut route = get("runs").with("limit", Some(query.limit));
            route = route.with("cursor", query.cursor.as_ref());
            route = route.with("group_id", query.group_id.as_ref());
            route = route.with("figures", query.figures.then_some(true));
            for label in &query.labels {
                route = route.with("label", Some(label));
            }
            let mut page = target.read(route, async |ops| ops.runs(&query).await).await?;
            if !self.all {
                return Ok(page);
            }
            items.append(page["items"].as_array_mut().unwrap_or(&mut Vec::new()));
            match page["next_cursor"].take() {
                Value::String(cursor) => query.cursor = Some(cursor),
                _ => return Ok(json!({ "items": items, "next_cursor": null })),
            }
        }
    }
}

pub(crate) async fn run(globals: &Globals, command: RunCommand) -> Result<(), Failure> {
    let output = match command {
        RunCommand::Status => Output::record(status(globals).await?),
        RunCommand::Start(args) => {
            let start = args.request()?;
            let route = post("control/run/start", &start);
            Output::record(write(globals, route, async |w| w.start_run(&start).await).await?)
        }
        RunCommand::Stop(StopArgs { stop, all: true }) => {
            let why = ReasonBody { reason: stop.reason };
            let route = post("control/stop-all", &why);
            runs(end(globals, route, async |w| w.stop_all(&why).await).await?)
        }
        RunCommand::Stop(StopArgs { stop, .. }) => {
            let route = post("control/run/stop", &stop);
            Output::record(end(globals, route, async |w| w.stop_run(&stop).await).await?)
        }
        RunCommand::Pause(PauseArgs { pause, all: true }) => {
            let why = ReasonBody { reason: pause.reason };
            let route = post("control/pause-all", &why);
            runs(write(globals, route, async |w| w.pause_all(&why).await).await?)
        }
        RunCommand::Pause(PauseArgs { pause, .. }) => {
            let route = post("control/pause", &pause);
            Output::record(write(globals, route, async |w| w.pause(&pause).await).await?)
        }
        RunCommand::Resume(why) => {
            let route = post("control/resume", &why);
            Output::record(write(globals, route, async |w| w.resume(&why).await).await?)
        }
        RunCommand::Limits(LimitsArgs { run_id, limits, resume, force, reason }) => {
            let body = PatchLimits { run_id, limits: limits.given(), resume, force, reason };
            let route = post("control/run/limits", &body).patch();
            Output::record(write(globals, route, async |w| w.patch_limits(&body).await).await?)
        }
        RunCommand::Reset(why) => {
            let route = post("control/run/reset-dev", &why);
            Output::record(end(globals, route, async |w| w.reset_world(&why).await).await?)
        }
        RunCommand::Degrade { clear, why } => {
            let path = if clear { "control/degrade/clear" } else { "control/degrade" };
            let degrade = write(globals, post(path, &why), async |w| w.degrade(&why, !clear).await);
            Output::record(degrade.await?)
        }
        RunCommand::List(args) => {
            let runs = args.read(globals).await?;
            if args.figures { with_figures(runs)? } else { Output::list(runs, COLUMNS) }
        }
        RunCommand::Show { run_id } => {
            let route = get("runs").named("run", &run_id);
            Output::record(read(globals, route, async |ops| ops.run(&run_id).await).await?)
        }
        RunCommand::Report(args) => args.read(globals).await?,
        RunCommand::Compare { a, b, .. } => {
            let route = get("run/compare").with("a", Some(&a)).with("b", Some(&b));
            let compared = read(globals, route, async |ops| ops.compare_runs(&a, &b).await).await?;
            let output = Output::record(&compared).with_rows_of("metrics", &[]);
            let compared: RunComparison = serde_json::from_value(compared).map_err(|error| {
                Failure::new(format!("the response is not a comparison: {error}"))
            })?;
            output.with_text(compared.table())
        }
        RunCommand::Metrics { run_id, hours_fallback: hours } => {
            let route = get("run/metrics").with("run_id", run_id.as_ref());
            let (route, run_id) = (route.with("hours_fallback", Some(hours)), run_id.as_deref());
            let metrics = read(globals, route, async |ops| ops.run_metrics(run_id, hours).await);
            Output::record(metrics.await?)
        }
    };
    print::show(&output, globals.output)
}

/// What became of each run.
fn runs(controlled: Value) -> Output {
    Output::record(controlled).with_rows_of("runs", CONTROLLED)
}

/// Runs with their figures; as CSV, a column per label and per figure.
fn with_figures(runs: Value) -> Result<Output, Failure> {
    let listing: Listing<ListedRun> = serde_json::from_value(runs.clone())
        .map_err(|error| Failure::new(format!("the response is not a list of runs: {error}")))?;
    Ok(Output::list(runs, FIGURES).with_csv(listing.csv()))
}

/// The status, as a server's with the time and the actor.
async fn status(globals: &Globals) -> Result<Value, Failure> {
    let actor = globals.actor()?;
    let status = async |ops: &Ops| {
        let mut status = json!(ops.status().await?);
        status["server_time_utc"] = json!(ops.clock().now());
        status["actor"] = json!({ "id": actor, "ip": null });
        Ok(status)
    };
    read(globals, get("status"), status).await
}

/// As [`write()`], for a write that ends the run: its report is written at once.
async fn end<T: Serialize>(
    globals: &Globals,
    route: Route,
    call: impl AsyncFnOnce(&Writer<'_>) -> simops::Result<T>,
) -> Result<Value, Failure> {
    let target = Target::of(globals, true).await?;
    let ended = target.write(route, call).await?;
    if let Target::Direct(direct) = target {
        direct.write_report().await;
    }
    Ok(ended)
}
