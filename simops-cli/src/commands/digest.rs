//! `digest`: drafting, reading, publishing and discarding the weekly digest.

use clap::{Args, Subcommand};
use serde_json::Value;
use simops::digest::EvidenceArgs;
use simops::ops::DigestOptions;

use crate::commands::values::{PageArgs, ReasonArgs};
use crate::exit::Failure;
use crate::globals::Globals;
use crate::print::{self, Output};
use crate::request::Request;
use crate::target::Target;

const COLUMNS: &[&str] = &["slug", "status", "anchor_date", "title", "created_at"];

/// `digest …`.
#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  simops-cli digest
  simops-cli digest --anchor-date 2026-03-01 --print-markdown
  simops-cli digest list --status draft
  simops-cli digest publish weekly-brief-2026-03-01 --reason 'read and checked'

Without a command it drafts one, of the days that end with the anchor date. `status` is created,
existing (the date has one) or insufficient_evidence (nothing is drafted; the exit code is 0).
The text is stored, and written to OUTPUT/digest/SLUG.md."
)]
pub(crate) struct DigestArgs {
    #[command(subcommand)]
    command: Option<DigestCommand>,
    #[command(flatten)]
    draft: DraftArgs,
}

/// `digest`.
#[derive(Args)]
struct DraftArgs {
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
    gate: EvidenceArgs,
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

/// `digest publish` and `digest discard`.
#[derive(Args)]
struct MoveArgs {
    /// The digest
    slug: String,
    #[command(flatten)]
    why: ReasonArgs,
}

/// Runs `digest …`.
pub(crate) async fn run(globals: &Globals, args: DigestArgs) -> Result<(), Failure> {
    let (request, only_text) = match args.command {
        None => {
            let DraftArgs { lookback_days, anchor_date, print_markdown, .. } = args.draft;
            let options = DigestOptions {
                lookback_days: Some(lookback_days),
                anchor_date,
                allow_duplicate_anchor: args.draft.allow_duplicate_anchor.then_some(true),
            };
            (Request::Digest(options), print_markdown)
        }
        Some(DigestCommand::List { status, page: PageArgs { limit, cursor } }) => {
            (Request::Digests { status, limit, cursor }, false)
        }
        Some(DigestCommand::Show { slug, print_markdown }) => {
            (Request::DigestNamed { slug }, print_markdown)
        }
        Some(DigestCommand::Publish(MoveArgs { slug, why })) => {
            (Request::PublishDigest { slug, body: why.into() }, false)
        }
        Some(DigestCommand::Discard(MoveArgs { slug, why })) => {
            (Request::DiscardDigest { slug, body: why.into() }, false)
        }
    };
    let target =
        Target::with_gate(globals, request.is_write(), args.draft.gate.requirements()).await?;
    let answer = target.ask(&request).await?;
    let markdown = answer.get("markdown").and_then(Value::as_str).map(str::to_owned);
    match (only_text, markdown) {
        (true, Some(markdown)) => print::raw(markdown.as_bytes()),
        (true, None) => {
            let message = answer.get("message").and_then(Value::as_str);
            print::note(message.unwrap_or("there is no text"));
            Ok(())
        }
        (false, _) if matches!(request, Request::Digests { .. }) => {
            print::show(&Output::list(answer, COLUMNS)?, globals.output)
        }
        (false, Some(markdown)) if matches!(request, Request::DigestNamed { .. }) => {
            print::show(&Output::record(answer)?.with_markdown(markdown), globals.output)
        }
        (false, _) => print::show(&Output::record(answer)?, globals.output),
    }
}
