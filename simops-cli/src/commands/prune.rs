//! `prune`: old rows of the logs are deleted, in small transactions; what was counted of them stays.

use clap::Args;
use jiff::Timestamp;
use serde_json::{Map, json};
use simops::store::LogTable;

use crate::args::Globals;
use crate::commands::{on_database_only, since};
use crate::exit::Failure;
use crate::print;
use crate::progress::{Bar, while_at};
use crate::target::Direct;

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
    let direct = Direct::open(globals).await?;
    let mut answer = Map::new();
    answer.insert("older_than".to_owned(), json!(args.older_than));
    answer.insert("dry_run".to_owned(), json!(args.dry_run));
    let mut counted = Vec::new();
    for log in LogTable::ALL.into_iter().filter(|log| args.what.contains(log)) {
        let count = direct.ops().count_prunable(log, args.older_than);
        counted.push((log, while_at("counting old rows", count).await?));
    }
    let writer = if args.dry_run { None } else { Some(direct.writer().await?) };
    for (log, found) in counted {
        let deleted = match &writer {
            None => 0,
            Some(writer) => {
                let bar = Bar::new(log.as_str());
                writer.prune(log, args.older_than, &|done, all| bar.show(done, all)).await?
            }
        };
        answer.insert(log.as_str().to_owned(), json!({ "old": found, "deleted": deleted }));
    }
    print::json(&answer)
}
