//! `baseline`: figures of a simulation now, and what changed between two baselines.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use simops::baseline::{BaselineResponse, compare, files, plot};
use simops::ops::BaselineOptions;
use simops::output;
use simops::run::RunSelection;

use crate::commands::values::SelectionArgs;
use crate::exit::Failure;
use crate::globals::{FormatAlias, Globals};
use crate::print::{self, Output};
use crate::progress::Bar;
use crate::target::{Target, post};

#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  simops-cli baseline
  simops-cli baseline --windows 24 --window-minutes 10
  simops-cli baseline --group-id pilot --label temperature=0.7
  simops-cli baseline compare output/baseline/baseline_20260301T120000Z.json latest
  simops-cli baseline plot --out baseline.svg

Without a command it takes one: thresholds, today's budget, recent provider failures, and figures of
windows that end now. With a run, a group or labels, failures and figures are of those runs only (at most
500), with their cost; once all have ended, the windows end with the last of them. It writes OUTPUT/baseline/baseline_latest.json and
OUTPUT/baseline/metrics/metrics_latest.json and .csv, with time-stamped copies. The file of a baseline
holds its metrics, so a copy of it can be compared later. Neither Redis nor write access to the database
is needed."
)]
pub(crate) struct BaselineArgs {
    #[command(subcommand)]
    command: Option<BaselineCommand>,
    /// The number of windows, 1 to 1000
    #[arg(long, value_name = "N", default_value_t = 12, allow_negative_numbers = true)]
    windows: i64,
    /// The length of each, 1 to 1440 minutes
    #[arg(long, value_name = "MINUTES", default_value_t = 5, allow_negative_numbers = true)]
    window_minutes: i64,
    #[command(flatten)]
    runs: SelectionArgs,
}

#[derive(Subcommand)]
enum BaselineCommand {
    /// Show what changed from one baseline to another, beyond the noise of the windows
    #[command(after_help = "\
Examples:
  simops-cli baseline compare output/baseline/baseline_20260301T120000Z.json latest
  simops-cli baseline compare before.json after.json -o json

A figure has changed when the means of both sides' windows differ by more than the spread of the windows
explains (Welch's t-test at 1 %).")]
    Compare {
        /// The file of a baseline, or latest
        #[arg(value_name = "A")]
        a: String,
        /// The file of the other
        #[arg(value_name = "B")]
        b: String,
        #[command(flatten)]
        _format: FormatAlias,
    },
    /// Draw a baseline's windows as SVG
    #[command(after_help = "\
Examples:
  simops-cli baseline plot
  simops-cli baseline plot output/baseline/baseline_20260301T120000Z.json --out baseline.svg
  simops-cli baseline plot --out - > baseline.svg")]
    Plot {
        /// The file of a baseline, or latest
        #[arg(value_name = "FILE", default_value = "latest")]
        file: String,
        /// The file to draw to; - is stdout [default: OUTPUT/baseline/baseline_latest.svg]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

pub(crate) async fn run(globals: &Globals, args: BaselineArgs) -> Result<(), Failure> {
    let folder = &globals.simops_output_dir;
    match args.command {
        None => {
            let RunSelection { run_id, group_id, labels } = args.runs.selection()?;
            let options = BaselineOptions {
                windows: Some(args.windows),
                window_minutes: Some(args.window_minutes),
                run_id,
                group_id,
                labels,
            };
            take(globals, options).await
        }
        Some(BaselineCommand::Compare { a, b, .. }) => {
            let compared = compare(&read(folder, &a)?, &read(folder, &b)?)?;
            let output = Output::record(&compared).with_rows_of("metrics", &[]);
            print::show(&output.with_text(compared.table()), globals.output)
        }
        Some(BaselineCommand::Plot { file, out }) => {
            let svg = plot::svg(&read(folder, &file)?.metrics);
            let out = out.unwrap_or_else(|| folder.join("baseline/baseline_latest.svg"));
            if out.as_os_str() == "-" {
                return print::raw(svg.as_bytes());
            }
            output::replace(&out, svg.as_bytes())?;
            let plotted = serde_json::json!({ "svg_path": out.display().to_string() });
            print::show(&Output::record(plotted), globals.output)
        }
    }
}

async fn take(globals: &Globals, options: BaselineOptions) -> Result<(), Failure> {
    // It writes files only: a database that may only be read will do.
    let taken = match Target::of(globals, false).await? {
        Target::Server(server) => {
            let answer = server.ask(post("baseline", &options)).await?;
            let answer = serde_json::from_value(answer).map_err(|error| {
                Failure::new(format!("the response is not a baseline: {error}"))
            })?;
            files::write(&globals.simops_output_dir, &answer)?
        }
        Target::Direct(direct) => {
            let bar = Bar::new("windows");
            let writer = direct.writer().await?;
            writer.write_baseline(&options, &|done, all| bar.show(done, all)).await?
        }
    };
    print::show(&Output::record(taken), globals.output)
}

fn read(folder: &Path, name: &str) -> Result<BaselineResponse, Failure> {
    let path = match name {
        "latest" => folder.join("baseline/baseline_latest.json"),
        path => PathBuf::from(path),
    };
    Ok(files::read(&path)?)
}
