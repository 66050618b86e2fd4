//! `usage`: the ledger of model calls, and the verification of the sums that are kept of it.

use clap::Subcommand;
use jiff::Timestamp;
use simops::ops::{Counted, UsageQuery, VerifiedUsage};
use simops::recount::OnProgress;

use crate::commands::values::{PageArgs, since};
use crate::exit::Failure;
use crate::globals::Globals;
use crate::print::{self, Output};
use crate::progress::{CORRECTED, UNCHANGED, recount};
use crate::target::Direct;

const COUNTING: &str = "counting the ledger";

const COLUMNS: &[&str] = &[
    "created_at",
    "run_id",
    "agent",
    "provider",
    "model_requested",
    "input_tokens",
    "output_tokens",
    "cost_usd",
    "latency_ms",
    "success",
    "error_type",
];

#[derive(Subcommand)]
pub(crate) enum UsageCommand {
    /// List the model calls and what each cost, oldest first
    #[command(after_help = "\
Examples:
  simops-cli usage list --since 24h
  simops-cli usage list --run-id test-20260301T120000Z --limit 500
  simops-cli usage list --cursor 4711    (the next_cursor of the page before)")]
    List {
        /// Only of this run
        #[arg(long, value_name = "ID")]
        run_id: Option<String>,
        /// Only those recorded since a time, a date or a duration ago: 2026-03-01T12:00:00Z, 2026-03-01, 7d
        #[arg(long, value_name = "WHEN", value_parser = since)]
        since: Option<Timestamp>,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Recount the ledger; exit 1 when a sum kept of it is wrong
    #[command(after_help = "\
Examples:
  simops-cli usage verify

Sums of money are in billionths of a US dollar (cost_nano_usd). Calls can be made meanwhile.")]
    Verify,
    /// Recount the ledger and correct every sum
    #[command(after_help = "\
Examples:
  simops-cli usage rebuild

The ledger itself is never changed, and calls can be made meanwhile. If it is interrupted, corrections
that were made are kept.")]
    Rebuild,
}

pub(crate) async fn run(globals: &Globals, command: UsageCommand) -> Result<(), Failure> {
    let on = globals.database_only("the admin API has no endpoint for the ledger's rows")?;
    match command {
        UsageCommand::List { run_id, since, page: PageArgs { limit, cursor } } => {
            let query = UsageQuery { run_id, since, cursor, limit };
            let calls = Direct::open_to_read(on).await?.ops.usage(&query).await?;
            print::show(&Output::list(calls, COLUMNS), globals.output)
        }
        UsageCommand::Verify => {
            let direct = Direct::open_to_read(on).await?;
            let verify = async |show: OnProgress<'_>| direct.ops.verify_usage(show).await;
            let verified = recount(COUNTING, UNCHANGED, verify).await?;
            print::show(&Output::record(&verified), globals.output)?;
            verdict(&verified)
        }
        UsageCommand::Rebuild => {
            let direct = Direct::open(on).await?;
            let writer = direct.writer().await?;
            let rebuild = async |show: OnProgress<'_>| writer.rebuild_usage(show).await;
            let rebuilt = recount(COUNTING, CORRECTED, rebuild).await?;
            print::show(&Output::record(&rebuilt), globals.output)?;
            let repaired = many(rebuilt.repaired.len(), "sum");
            print::note(&format!("{repaired} corrected; counted {}", summary(&rebuilt.counted)));
            Ok(())
        }
    }
}

fn verdict(verified: &VerifiedUsage) -> Result<(), Failure> {
    let counted = summary(&verified.counted);
    let Some(first) = verified.differences.first() else {
        print::note(&format!("every sum equals the ledger: {counted}"));
        return Ok(());
    };
    Err(Failure::new(format!(
        "{} not equal to the ledger ({counted}), first {} of {}: kept {}, counted {}; `simops-cli \
         usage rebuild` corrects it",
        many(verified.differences.len(), "sum"),
        first.counter,
        first.of,
        first.kept,
        first.counted
    )))
}

fn summary(counted: &Counted) -> String {
    let Counted { rows, pruned, leases, days, runs } = *counted;
    let (rows, leases) = (many(rows, "row"), many(leases, "open lease"));
    let pruned = if pruned > 0 { format!(", {pruned} pruned") } else { String::new() };
    format!("{rows}{pruned}, {leases}, {}, {}", many(days, "day"), many(runs, "run"))
}

fn many(count: impl TryInto<i64>, what: &str) -> String {
    match count.try_into().unwrap_or(i64::MAX) {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}
