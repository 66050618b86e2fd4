//! `kpi`: what visitors do, and whether the sums kept of it are right.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use simops::ops::VerifiedKpi;

use crate::args::Globals;
use crate::commands::kpi_import::{self, Format};
use crate::commands::{ask, kpi_seed, on_database_only};
use crate::exit::Failure;
use crate::print;
use crate::progress::while_at;
use crate::request::Request;
use crate::target::Direct;

/// `kpi …`.
#[derive(Subcommand)]
pub(crate) enum KpiCommand {
    /// Show the days' rollups, what they are compared with, and what calls for a person
    Rollups {
        /// So many days, 1 to 90
        #[arg(long, value_name = "N", default_value_t = 14, allow_negative_numbers = true)]
        days: i64,
    },
    /// Count all events anew; exit 1 when a sum kept of them is wrong
    Verify,
    /// Count all events anew and put every sum right
    #[command(after_help = "The events themselves are never changed.")]
    Rebuild,
    /// Record events from a file or from stdin
    #[command(after_help = "\
Examples:
  simops-cli kpi import events.ndjson
  simops-cli kpi import events.csv
  zcat events.ndjson.gz | simops-cli kpi import -

NDJSON has one event per line, in the form of POST /api/analytics/kpi/events; CSV has its fields as
columns named in the first line, metadata as JSON. A line that is out of form is reported with its
number and not imported; exit code 1 tells that there was one. An event without event_uid gets one of
its line, so the same file may be imported again after an interruption: what is recorded already is
not counted twice.")]
    Import(ImportArgs),
    /// Record made-up traffic of some days, so that charts are full
    #[command(after_help = "\
Examples:
  simops-cli kpi seed --days 30

The same seed makes the same events, and they are recorded once.")]
    Seed(SeedArgs),
}

/// `kpi import`.
#[derive(Args)]
pub(crate) struct ImportArgs {
    /// The file; - is stdin
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    /// How it is written [default: by the file's name, else NDJSON]
    #[arg(long, value_name = "FORMAT")]
    pub(super) format: Option<Format>,
    /// Begin with this line: where an earlier import was interrupted
    #[arg(long, value_name = "LINE", default_value_t = 1)]
    pub(super) from_line: u64,
}

/// `kpi seed`.
#[derive(Args)]
pub(crate) struct SeedArgs {
    /// So many days up to today, 1 to 90
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub(super) days: i64,
    /// About so many new visitors a day
    #[arg(long, value_name = "N", default_value_t = 120)]
    pub(super) visitors: u32,
    /// What chance depends on
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub(super) seed: u64,
}

/// Runs `kpi …`.
pub(crate) async fn run(globals: &Globals, command: KpiCommand) -> Result<(), Failure> {
    if let KpiCommand::Rollups { days } = command {
        return ask(globals, &Request::KpiRollups { days }).await;
    }
    on_database_only(globals, "kpi")?;
    let direct = Direct::open(globals).await?;
    match command {
        KpiCommand::Rollups { .. } => Ok(()),
        KpiCommand::Verify => {
            let verified = while_at("counting visitors' events", direct.ops().verify_kpi()).await?;
            print::json(&verified)?;
            verdict(&verified)
        }
        KpiCommand::Rebuild => print::json(
            &while_at("counting visitors' events", direct.writer().await?.rebuild_kpi()).await?,
        ),
        KpiCommand::Import(args) => kpi_import::run(&direct, &args).await,
        KpiCommand::Seed(args) => kpi_seed::run(&direct, &args).await,
    }
}

fn verdict(verified: &VerifiedKpi) -> Result<(), Failure> {
    if verified.ok {
        print::note(&format!("every sum equals the {} events", verified.events));
        return Ok(());
    }
    let repair = "`simops-cli kpi rebuild` puts it right";
    Err(Failure::new(match verified.differences.first() {
        Some(first) => format!(
            "{} figures differ from the events, first {} of {}: kept {}, counted {}; {repair}",
            verified.differences.len(),
            first.figure,
            first.day_key,
            first.kept,
            first.counted
        ),
        None => format!("the steps of {} visitors' days are wrong; {repair}", verified.wrong_steps),
    }))
}
