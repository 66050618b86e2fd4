//! `alert`: what calls for a person, who knows of it, and what became of the messages.

use clap::{Args, Subcommand};
use simops::ops::SilenceAlert;

use crate::args::Globals;
use crate::commands::ask;
use crate::exit::Failure;
use crate::request::Request;

/// `alert …`.
#[derive(Subcommand)]
pub(crate) enum AlertCommand {
    /// List the alerts, last fired first
    List(PageArgs),
    /// Say that somebody knows of an alert: it is not told again unless it gets worse
    #[command(
        visible_alias = "acknowledge",
        after_help = "\
Examples:
  simops-cli alert ack 0198c1f2-… --reason 'landing page is being fixed'"
    )]
    Ack {
        /// The alert
        #[arg(value_name = "ALERT")]
        id: String,
        /// Why, for the audit trail
        #[arg(long)]
        reason: Option<String>,
    },
    /// Have nobody told of an alert for a while
    #[command(after_help = "\
Examples:
  simops-cli alert silence 0198c1f2-… --minutes 120
  simops-cli alert silence 0198c1f2-… --until 2026-03-02T08:00:00Z
  simops-cli alert silence 0198c1f2-… --end")]
    Silence(SilenceArgs),
    /// List the messages, newest first, each with what became of it
    Messages(PageArgs),
    /// Show a delivery with its tries
    Delivery {
        /// The delivery
        #[arg(value_name = "DELIVERY")]
        id: String,
    },
    /// Have a delivery tried again, whatever became of it, under the same id
    #[command(after_help = "\
Examples:
  simops-cli alert messages --limit 5    (shows the deliveries)
  simops-cli alert replay 0198c1f2-… --reason 'receiver is back'

The server that has the duty of deliveries sends it.")]
    Replay {
        /// The delivery
        #[arg(value_name = "DELIVERY")]
        id: String,
        /// Why, for the audit trail
        #[arg(long)]
        reason: Option<String>,
    },
}

/// A page of a listing.
#[derive(Args)]
pub(crate) struct PageArgs {
    /// At most so many, 1 to 500
    #[arg(long, value_name = "N", default_value_t = 50, allow_negative_numbers = true)]
    limit: i64,
    /// Go on where an earlier page ended
    #[arg(long)]
    cursor: Option<String>,
}

/// `alert silence`.
#[derive(Args)]
pub(crate) struct SilenceArgs {
    /// The alert
    #[arg(value_name = "ALERT")]
    id: String,
    /// For so many minutes, 1 to 43200
    #[arg(long, value_name = "N", required_unless_present_any = ["until", "end"], conflicts_with_all = ["until", "end"])]
    minutes: Option<i64>,
    /// Until this time
    #[arg(long, value_name = "TIME", conflicts_with = "end")]
    until: Option<String>,
    /// End a silence
    #[arg(long)]
    end: bool,
    /// Why, for the audit trail
    #[arg(long)]
    reason: Option<String>,
}

/// Runs `alert …`.
pub(crate) async fn run(globals: &Globals, command: AlertCommand) -> Result<(), Failure> {
    let request = match command {
        AlertCommand::List(PageArgs { limit, cursor }) => Request::Alerts { limit, cursor },
        AlertCommand::Ack { id, reason } => Request::AcknowledgeAlert { id, reason },
        AlertCommand::Silence(args) => {
            let SilenceArgs { id, minutes, until, end: _, reason } = args;
            Request::SilenceAlert { id, silence: SilenceAlert { minutes, until, reason } }
        }
        AlertCommand::Messages(PageArgs { limit, cursor }) => Request::Messages { limit, cursor },
        AlertCommand::Delivery { id } => Request::Delivery { id },
        AlertCommand::Replay { id, reason } => Request::ReplayDelivery { id, reason },
    };
    ask(globals, &request).await
}
