//! `digest`: drafting, reading, publishing and discarding the weekly digest.

use clap::{Args, Subcommand};
use serde_json::Value;
use simops::digest::{DigestStatus, Requirements};
use simops::ops::{DigestOptions, ReasonBody};
use simops::run::RunSelection;

use crate::commands::values::{PageArgs, SelectionArgs};
use crate::exit::Failure;
use crate::globals::Globals;
use crate::print::{self, Output};
use crate::target::{Target, get, post, read, write};

const COLUMNS: &[&str] = &["slug", "status", "anchor_date", "title", "created_at"];

#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  simops-cli digest
  simops-cli digest --anchor-date 2026-03-01 --print-markdown
  simops-cli digest --group-id pilot --label seed=3
  simops-cli digest list --status draft
  simops-cli digest publish weekly-brief-2026-03-01 --reason 'read and checked'

Without a command it drafts one, of the days that end with the anchor date. `status` is created,
existing (the date has one) or insufficient_evidence (nothing is drafted; the exit code is 0).
With a run, a group or labels it covers those runs only (at most 500), and so does the check of the evidence;
each such selection has its own draft of a date. The text is stored, and written to OUTPUT/digest/SLUG.md."
)]
pub(crate) struct DigestArgs {
    #[command(subcommand)]
    command: Option<DigestCommand>,
    /// The number of days that it covers, 1 to 90
    #[arg(long, value_name = "N", default_value_t = 7, allow_negative_numbers = true)]
    lookback_days: i64,
    /// The last of them, UTC [default: today]
    #[arg(long, value_name = "YYYY-MM-DD")]
    anchor_date: Option<String>,
    /// Print the text alone
    #[arg(long)]
    print_markdown: bool,
    /// Draft another one even if the date has one
    #[arg(long)]
    allow_duplicate_anchor: bool,
    #[command(flatten)]
    runs: SelectionArgs,
    #[command(flatten)]
    gate: Requirements,
}

#[derive(Subcommand)]
enum DigestCommand {
    /// List the digests, newest first
    #[command(after_help = "\
Examples:
  simops-cli digest list
  simops-cli digest list --status published --limit 10")]
    List {
        /// Only those with this status: draft, published or discarded
        #[arg(long, value_name = "STATUS")]
        status: Option<String>,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Show a digest
    #[command(after_help = "\
Examples:
  simops-cli digest show weekly-brief-2026-03-01
  simops-cli digest show weekly-brief-2026-03-01 --print-markdown > brief.md")]
    Show {
        /// The digest
        slug: String,
        /// Print the text alone
        #[arg(long)]
        print_markdown: bool,
    },
    /// Publish a digest
    #[command(after_help = "\
Examples:
  simops-cli digest publish weekly-brief-2026-03-01 --reason 'read and checked'")]
    Publish(MoveArgs),
    /// Discard a digest, for good
    #[command(after_help = "\
Examples:
  simops-cli digest discard weekly-brief-2026-03-01 --reason 'a test week'")]
    Discard(MoveArgs),
}

#[derive(Args)]
struct MoveArgs {
    /// The digest
    slug: String,
    #[command(flatten)]
    why: ReasonBody,
}

pub(crate) async fn run(globals: &Globals, args: DigestArgs) -> Result<(), Failure> {
    match args.command {
        None => {
            let RunSelection { run_id, group_id, labels } = args.runs.selection()?;
            let options = DigestOptions {
                run_id,
                group_id,
                labels,
                lookback_days: Some(args.lookback_days),
                anchor_date: args.anchor_date,
                allow_duplicate_anchor: args.allow_duplicate_anchor.then_some(true),
            };
            let route = post("digest", &options);
            let target =
                Target::with_options(globals, true, |options| options.digest_gate = args.gate)
                    .await?;
            let digest = target.write(route, async |w| w.create_digest(&options).await).await?;
            if args.print_markdown {
                return print_text(&digest);
            }
            print::show(&Output::record(digest), globals.output)
        }
        Some(DigestCommand::List { status, page }) => {
            let route = get("digests").with("status", status.as_ref()).with_all(&page);
            let (status, cursor) = (status.as_deref(), page.cursor.as_deref());
            let digests =
                read(globals, route, async |ops| ops.digests(status, page.limit, cursor).await);
            print::show(&Output::list(digests.await?, COLUMNS), globals.output)
        }
        Some(DigestCommand::Show { slug, print_markdown }) => {
            let route = get("digests").named("digest", &slug);
            let digest = read(globals, route, async |ops| ops.digest_named(&slug).await).await?;
            if print_markdown {
                return print_text(&digest);
            }
            let markdown = digest["markdown"].as_str().unwrap_or_default().to_owned();
            print::show(&Output::record(digest).with_markdown(markdown), globals.output)
        }
        Some(DigestCommand::Publish(args)) => {
            change(globals, &args, DigestStatus::Published, "publish").await
        }
        Some(DigestCommand::Discard(args)) => {
            change(globals, &args, DigestStatus::Discarded, "discard").await
        }
    }
}

/// Moves a digest to another status; `path` is the endpoint that does.
async fn change(
    globals: &Globals,
    MoveArgs { slug, why }: &MoveArgs,
    to: DigestStatus,
    path: &str,
) -> Result<(), Failure> {
    let route = post("digests", why).named("digest", slug).at(path);
    let reason = why.reason.as_deref();
    let changed = write(globals, route, async |w| w.set_digest_status(slug, to, reason).await);
    print::show(&Output::record(changed.await?), globals.output)
}

/// Prints the text of a digest, or why there is none.
fn print_text(digest: &Value) -> Result<(), Failure> {
    if let Some(markdown) = digest["markdown"].as_str() {
        return print::raw(markdown.as_bytes());
    }
    print::note(digest["message"].as_str().unwrap_or("there is no text"));
    Ok(())
}
