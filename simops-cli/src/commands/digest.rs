//! `digest`: the weekly digest, and what becomes of it.

use clap::{Args, Subcommand};
use serde_json::Value;
use simops::digest::EvidenceArgs;
use simops::ops::{DigestOptions, ReasonBody};

use crate::args::Globals;
use crate::exit::Failure;
use crate::print;
use crate::request::Request;
use crate::target::Target;

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
existing (the date has one) or insufficient_evidence (nothing is drafted; exit code 0 all the same).
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
    /// How many days it is about, 1 to 90
    #[arg(long, value_name = "N", default_value_t = 7, allow_negative_numbers = true)]
    lookback_days: i64,
    /// The last of them, UTC [default: today]
    #[arg(long, value_name = "YYYY-MM-DD")]
    anchor_date: Option<String>,
    /// Print the text instead of the answer
    #[arg(long)]
    print_markdown: bool,
    /// Draft another one although the date has one
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
        /// Only those: draft, published or discarded
        #[arg(long, value_name = "STATUS")]
        status: Option<String>,
        /// At most so many, 1 to 500
        #[arg(long, value_name = "N", default_value_t = 50, allow_negative_numbers = true)]
        limit: i64,
        /// Go on where an earlier page ended
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Show a digest
    #[command(after_help = "\
Examples:
  simops-cli digest show weekly-brief-2026-03-01
  simops-cli digest show weekly-brief-2026-03-01 --print-markdown > brief.md")]
    Show {
        /// The digest
        slug: String,
        /// Print its text only
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
    /// Why, for the audit trail
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
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
        Some(DigestCommand::List { status, limit, cursor }) => {
            (Request::Digests { status, limit, cursor }, false)
        }
        Some(DigestCommand::Show { slug, print_markdown }) => {
            (Request::DigestNamed { slug }, print_markdown)
        }
        Some(DigestCommand::Publish(MoveArgs { slug, reason })) => {
            (Request::PublishDigest { slug, body: ReasonBody { reason } }, false)
        }
        Some(DigestCommand::Discard(MoveArgs { slug, reason })) => {
            (Request::DiscardDigest { slug, body: ReasonBody { reason } }, false)
        }
    };
    let target = Target::with_gate(globals, args.draft.gate.requirements()).await?;
    let answer = target.ask(&request).await?;
    match answer.get("markdown").and_then(Value::as_str) {
        Some(markdown) if only_text => print::raw(markdown.as_bytes()),
        None if only_text => {
            let why = answer.get("message").and_then(Value::as_str).unwrap_or("there is no text");
            print::note(why);
            Ok(())
        }
        _ => print::json(&answer),
    }
}
