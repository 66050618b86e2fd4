//! `prune`: old rows of the logs are deleted, in small transactions; what was counted of them stays.

use clap::Args;
use jiff::Timestamp;
use serde_json::{Map, json};
use simops::clock::{Clock, SystemClock};
use simops::control::Environment;
use simops::store::{LogTable, PruneCutoff, RunStore};

use crate::args::Globals;
use crate::commands::{on_database_only, since};
use crate::database;
use crate::exit::Failure;
use crate::print;
use crate::progress::{Bar, while_at};

/// Rows that are deleted at once: others write in between.
const AT_ONCE: usize = 5_000;

/// `prune`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  simops-cli prune --older-than 90d --dry-run
  simops-cli prune --older-than 90d
  simops-cli prune --what ledger,visits --older-than 400d

What was counted of deleted rows stays: budgets and sums of runs, days of visitors, of digests, and
`usage verify` and `kpi verify` know of them. What lists single rows, and windows of time that
reach before WHEN, know no more than what is left. The rows of a run that has not ended stay, as
does the newest of each log. Calls are kept for 35 days at least, and visits for 91: so late an
event can still be sent again. The audit trail, runs, reports and digests are always kept.")]
pub(crate) struct PruneArgs {
    /// Rows older than a time, a date or a duration ago: 2026-03-01T12:00:00Z, 2026-03-01, 90d
    #[arg(long, value_name = "WHEN", value_parser = since)]
    older_than: Timestamp,
    /// The logs: events, ledger (model calls), visits (events of visitors)
    #[arg(long, value_name = "LOGS", value_delimiter = ',', default_value = "events")]
    #[arg(value_parser = log())]
    what: Vec<LogTable>,
    /// Only tell how many would go
    #[arg(long)]
    dry_run: bool,
}

fn log() -> impl clap::builder::TypedValueParser<Value = LogTable> {
    use clap::builder::{PossibleValuesParser, TypedValueParser};
    PossibleValuesParser::new(LogTable::ALL.map(LogTable::as_str)).map(|name| {
        LogTable::ALL.into_iter().find(|log| log.as_str() == name).unwrap_or(LogTable::Events)
    })
}

/// Runs `prune`.
pub(crate) async fn run(globals: &Globals, args: PruneArgs) -> Result<(), Failure> {
    on_database_only(globals, "prune")?;
    let allowed = args.dry_run || globals.write_enabled();
    if !allowed && globals.environment == Environment::Production {
        return Err(Failure::new(
            "the write gate is closed: set ADMIN_WRITE_ENABLED=true to prune",
        ));
    }
    let now = SystemClock.now();
    args.what.iter().try_for_each(|log| log.check(args.older_than, now))?;
    let store = database::open(&globals.database.database()?).await?;
    let except_run = store.load().await?.open_run().map(|run| run.run_id.clone());
    let old = PruneCutoff { before: args.older_than, except_run };
    let mut answer = Map::new();
    answer.insert("older_than".to_owned(), json!(args.older_than));
    answer.insert("dry_run".to_owned(), json!(args.dry_run));
    for log in LogTable::ALL.into_iter().filter(|log| args.what.contains(log)) {
        let found = while_at("counting old rows", store.count_prunable(log, &old)).await?;
        let deleted = if args.dry_run { 0 } else { delete(&*store, log, &old, found).await? };
        answer.insert(log.as_str().to_owned(), json!({ "old": found, "deleted": deleted }));
    }
    print::json(&answer)
}

async fn delete(
    store: &dyn RunStore,
    log: LogTable,
    old: &PruneCutoff,
    found: u64,
) -> Result<u64, Failure> {
    let (mut deleted, bar) = (0, Bar::new(log.as_str()));
    loop {
        match store.prune(log, old, AT_ONCE).await? {
            0 => return Ok(deleted),
            more => deleted += more,
        }
        bar.show(deleted, found);
    }
}
