//! `prune`: old events are deleted, in small transactions; what was counted of them stays.

use clap::Args;
use jiff::Timestamp;
use serde_json::json;
use simops::control::Environment;
use simops::store::RunStore;

use crate::args::Globals;
use crate::commands::{on_database_only, since};
use crate::database;
use crate::exit::Failure;
use crate::print;
use crate::progress::{Bar, while_at};

/// Events that are deleted at once: others write in between.
const AT_ONCE: usize = 5_000;

/// `prune`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  simops-cli prune --older-than 90d --dry-run
  simops-cli prune --older-than 90d

Only events of the log go, and none of a run that has not ended. What was counted of them stays:
metrics of runs, days of digests. The audit trail, the usage ledger, visitors' events, runs and
digests are kept: sums are verified against them.")]
pub(crate) struct PruneArgs {
    /// Events older than a time, a date or a duration ago: 2026-03-01T12:00:00Z, 2026-03-01, 90d
    #[arg(long, value_name = "WHEN", value_parser = since)]
    older_than: Timestamp,
    /// Only tell how many would go
    #[arg(long)]
    dry_run: bool,
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
    let store = database::open(&globals.database.database()?).await?;
    let state = store.load().await?;
    let open = state.open_run().map(|run| run.run_id.as_str());
    let before = args.older_than;
    let old = while_at("counting old events", store.old_events(before, open)).await?;
    let deleted = if args.dry_run { 0 } else { delete(&*store, before, open, old).await? };
    print::json(&json!({
        "older_than": before,
        "dry_run": args.dry_run,
        "events": { "old": old, "deleted": deleted },
    }))
}

async fn delete(
    store: &dyn RunStore,
    before: Timestamp,
    open: Option<&str>,
    old: u64,
) -> Result<u64, Failure> {
    let (mut deleted, bar) = (0, Bar::new("old events"));
    loop {
        match store.delete_old_events(before, open, AT_ONCE).await? {
            0 => return Ok(deleted),
            more => deleted += more,
        }
        bar.show(deleted, old);
    }
}
