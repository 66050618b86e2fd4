//! `prune`: deletes old rows of the logs in small transactions; the sums kept of them stay.

use clap::Args;
use jiff::Timestamp;
use serde_json::{Map, json};
use simops::store::LogTable;

use crate::commands::values::since;
use crate::exit::Failure;
use crate::globals::Globals;
use crate::print::{self, Output};
use crate::progress::{Bar, DELETED, until_interrupted, while_at};
use crate::target::Direct;

#[derive(Args)]
#[command(after_help = "\
Examples:
  simops-cli prune --older-than 90d --dry-run
  simops-cli prune --older-than 90d
  simops-cli prune --what ledger,visits --older-than 400d

The sums kept of deleted rows stay (budgets, runs, days of visitors and of digests), and `usage verify`
and `kpi verify` include them. Lists of rows, and windows of time that begin before WHEN, show only what
is left. The rows of an open run stay, as does the newest row of each log. Calls are kept for at least
35 days, and visits for 91, because events may arrive that late. The audit trail, runs, reports and
digests are always kept.")]
pub(crate) struct PruneArgs {
    /// Rows older than a time, a date or a duration ago: 2026-03-01T12:00:00Z, 2026-03-01, 90d
    #[arg(long, value_name = "WHEN", value_parser = since)]
    older_than: Timestamp,
    /// The logs: events, ledger (model calls), visits (events of visitors)
    #[arg(long, value_name = "LOGS", value_delimiter = ',', default_value = "events")]
    #[arg(value_parser = log())]
    what: Vec<LogTable>,
    /// Only count the rows
    #[arg(long)]
    dry_run: bool,
}

fn log() -> impl clap::builder::TypedValueParser<Value = LogTable> {
    use clap::builder::{PossibleValuesParser, TypedValueParser};
    PossibleValuesParser::new(LogTable::NAMES)
        .map(|name| LogTable::parse(&name).unwrap_or(LogTable::Events))
}

pub(crate) async fn run(globals: &Globals, args: PruneArgs) -> Result<(), Failure> {
    let on = globals.database_only("the admin API has no endpoint that deletes rows")?;
    let direct = match args.dry_run {
        true => Direct::open_to_read(on).await?,
        false => Direct::open(on).await?,
    };
    let mut answer = Map::new();
    answer.insert("older_than".to_owned(), json!(args.older_than));
    answer.insert("dry_run".to_owned(), json!(args.dry_run));
    let mut counted = Vec::new();
    for log in LogTable::ALL.into_iter().filter(|log| args.what.contains(log)) {
        let count = direct.ops.count_prunable(log, args.older_than);
        counted.push((log, while_at("counting old rows", count).await?));
    }
    let writer = if args.dry_run { None } else { Some(direct.writer().await?) };
    for (log, found) in counted {
        let deleted = match &writer {
            None => 0,
            Some(writer) => {
                let bar = Bar::new(log.as_str());
                let show = |done, all| bar.show(done, all);
                let pruned = async { Ok(writer.prune(log, args.older_than, &show).await?) };
                until_interrupted(DELETED, pruned).await?
            }
        };
        answer.insert(log.as_str().to_owned(), json!({ "old": found, "deleted": deleted }));
    }
    print::show(&Output::record(answer), globals.output)
}
