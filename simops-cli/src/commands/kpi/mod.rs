//! `kpi`: visitors' events and the sums that are kept of them.

mod array;
mod import;
mod seed;

use std::path::PathBuf;

use clap::Subcommand;
use simops::alert::Rules;
use simops::ops::{DeleteVisits, VerifiedKpi};
use simops::recount::OnProgress;

use crate::exit::Failure;
use crate::globals::Globals;
use crate::print::{self, Output};
use crate::progress::{CORRECTED, DELETED, UNCHANGED, recount, until_interrupted};
use crate::target::{Direct, Target, get, post, write};

const COUNTING: &str = "counting visitors' events";

const COLUMNS: &[&str] = &[
    "day_key",
    "partial",
    "landing_view_visitors",
    "landing_to_run_ctr",
    "run_to_replay_start_rate",
    "replay_completion_rate",
    "share_action_rate",
    "d1_retention_rate",
    "d7_retention_rate",
];

#[derive(Subcommand)]
pub(crate) enum KpiCommand {
    /// Show the rollups of the last days, the figures they are compared with, and the alerts
    Rollups {
        /// The number of days, 1 to 90
        #[arg(long, value_name = "N", default_value_t = 14, allow_negative_numbers = true)]
        days: i64,
        /// On a database: a TOML file of alert rules that replaces the built-in ones. A server uses its own
        #[arg(long, env = "KPI_ALERT_RULES", value_name = "FILE")]
        kpi_alert_rules: Option<PathBuf>,
    },
    /// Recount all events; exit 1 when a sum kept of them is wrong
    Verify,
    /// Recount all events and correct every sum
    #[command(after_help = "\
The events themselves are never changed, and events can be recorded meanwhile. If it is interrupted,
corrections that were made are kept.")]
    Rebuild,
    /// Record events from a file or from stdin
    #[command(after_help = "\
Examples:
  simops-cli kpi import events.ndjson
  simops-cli kpi import events.csv
  zcat events.ndjson.gz | simops-cli kpi import -

NDJSON has one event per line, in the form of POST /api/analytics/kpi/events; a JSON array of such events
will do. CSV has their fields as columns named in the first line, metadata as JSON. An event that is not
valid is reported with its line and not imported; then the exit code is 1. A file may be imported again,
also with more events in it: an event without event_uid gets one of its content, and of its number among
those with the same content, so what is recorded already is not counted twice.")]
    Import(import::ImportArgs),
    /// Delete the events of some visitors on a day, such as forged ones
    #[command(after_help = "\
Examples:
  simops-cli kpi delete --day 2026-03-01 --visitor 4f3c2a1e-forged --dry-run
  simops-cli kpi delete --day 2026-03-01 --visitor-prefix bot- --reason 'forged by a script'

The sums are corrected, and audit rows name the visitors and what was deleted. Deleted events can be
recorded again.")]
    Delete(DeleteVisits),
    /// Record made-up traffic of some days, so that charts are full
    #[command(after_help = "\
Examples:
  simops-cli kpi seed --days 30

The same seed makes the same events, and they are recorded once.")]
    Seed(seed::SeedArgs),
}

pub(crate) async fn run(globals: &Globals, command: KpiCommand) -> Result<(), Failure> {
    let on = || globals.database_only("it reads or writes the events themselves");
    match command {
        KpiCommand::Rollups { days, kpi_alert_rules } => {
            let route = get("kpi/rollups").with("days", Some(days));
            let file = kpi_alert_rules.filter(|path| !path.as_os_str().is_empty());
            let rules =
                file.map_or_else(|| Ok(Rules::default()), |path| Rules::from_file(&path))?;
            let target =
                Target::with_options(globals, false, |options| options.alerts.rules = rules)
                    .await?;
            let rollups = target.read(route, async |ops| ops.kpi_rollups(days).await).await?;
            print::show(&Output::list(rollups, COLUMNS), globals.output)
        }
        KpiCommand::Verify => {
            let direct = Direct::open_to_read(on()?).await?;
            let verify = async |show: OnProgress<'_>| direct.ops.verify_kpi(show).await;
            let verified = recount(COUNTING, UNCHANGED, verify).await?;
            print::show(&Output::record(&verified), globals.output)?;
            verdict(&verified)
        }
        KpiCommand::Rebuild => {
            let direct = Direct::open(on()?).await?;
            let writer = direct.writer().await?;
            let rebuild = async |show: OnProgress<'_>| writer.rebuild_kpi(show).await;
            let rebuilt = recount(COUNTING, CORRECTED, rebuild).await?;
            print::show(&Output::record(rebuilt), globals.output)
        }
        KpiCommand::Delete(request) => {
            let route = post("kpi/visits/delete", &request);
            let deleted = write(globals, route, async |w| w.delete_visits(&request).await);
            let deleted = until_interrupted(DELETED, deleted).await?;
            print::show(&Output::record(deleted), globals.output)
        }
        KpiCommand::Import(args) => import::run(globals, &Direct::open(on()?).await?, &args).await,
        KpiCommand::Seed(args) => seed::run(globals, &Direct::open(on()?).await?, &args).await,
    }
}

fn verdict(verified: &VerifiedKpi) -> Result<(), Failure> {
    if verified.ok {
        print::note(&format!("every sum equals the {} events", verified.events));
        return Ok(());
    }
    let repair = "`simops-cli kpi rebuild` corrects it";
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
