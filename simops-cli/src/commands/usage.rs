//! `usage`: the ledger of model calls, and whether the sums kept of it are right.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use simops::ops::{Counted, UsageQuery, VerifiedUsage};

use crate::args::Globals;
use crate::commands::{on_database_only, since};
use crate::exit::Failure;
use crate::print;
use crate::progress::while_at;
use crate::target::Direct;

/// `usage …`.
#[derive(Subcommand)]
pub(crate) enum UsageCommand {
    /// List the model calls and what each cost, oldest first
    #[command(after_help = "\
Examples:
  simops-cli usage list --since 24h
  simops-cli usage list --run-id test-20260301T120000Z --limit 500
  simops-cli usage list --cursor 4711    (the next_cursor of the page before)")]
    List(ListArgs),
    /// Count the ledger anew; exit 1 when a sum kept of it is wrong
    #[command(after_help = "\
Examples:
  simops-cli usage verify

Sums of money are in billionths of a US dollar (cost_nano_usd).")]
    Verify,
    /// Count the ledger anew and put every sum right
    #[command(after_help = "\
Examples:
  simops-cli usage rebuild

The ledger itself is never changed.")]
    Rebuild,
}

/// `usage list`.
#[derive(Args)]
pub(crate) struct ListArgs {
    /// Only of this run
    #[arg(long, value_name = "ID")]
    run_id: Option<String>,
    /// Only those recorded since a time, a date or a duration ago: 2026-03-01T12:00:00Z, 2026-03-01, 7d
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<Timestamp>,
    /// At most so many, 1 to 500
    #[arg(long, value_name = "N", default_value_t = 50, allow_negative_numbers = true)]
    limit: i64,
    /// Go on where an earlier page ended
    #[arg(long)]
    cursor: Option<String>,
}

/// Runs `usage …`.
pub(crate) async fn run(globals: &Globals, command: UsageCommand) -> Result<(), Failure> {
    on_database_only(globals, "usage")?;
    let direct = Direct::open(globals).await?;
    match command {
        UsageCommand::List(ListArgs { run_id, since, limit, cursor }) => {
            let query = UsageQuery { run_id, since, cursor, limit };
            print::json(&direct.ops().usage(&query).await?)
        }
        UsageCommand::Verify => {
            let verified = while_at("counting the ledger", direct.ops().verify_usage()).await?;
            print::json(&verified)?;
            verdict(&verified)
        }
        UsageCommand::Rebuild => {
            let rebuilt =
                while_at("counting the ledger", direct.writer().await?.rebuild_usage()).await?;
            print::json(&rebuilt)?;
            let repaired = many(rebuilt.repaired.len(), "sum");
            print::note(&format!("{repaired} put right; counted {}", said(&rebuilt.counted)));
            Ok(())
        }
    }
}

fn verdict(verified: &VerifiedUsage) -> Result<(), Failure> {
    let counted = said(&verified.counted);
    let Some(first) = verified.differences.first() else {
        print::note(&format!("every sum equals the ledger: {counted}"));
        return Ok(());
    };
    Err(Failure::new(format!(
        "{} not equal to the ledger ({counted}), first {} of {}: kept {}, counted {}; `simops-cli \
         usage rebuild` puts it right",
        many(verified.differences.len(), "sum"),
        first.counter,
        first.of,
        first.kept,
        first.counted
    )))
}

fn said(counted: &Counted) -> String {
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
