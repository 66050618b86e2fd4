//! `alert`: alerts, their acknowledgement and silencing, and the delivery of their messages.

use clap::{Args, Subcommand};
use simops::ops::SilenceAlert;

use crate::commands::values::{PageArgs, ReasonArgs};
use crate::exit::Failure;
use crate::globals::Globals;
use crate::print::{self, Output};
use crate::request::Request;
use crate::target;

const COLUMNS: &[&str] =
    &["id", "metric", "state", "severity", "item.message", "fired_at", "silenced_until"];
const MESSAGE_COLUMNS: &[&str] = &["id", "created_at", "kind", "text"];

/// `alert …`.
#[derive(Subcommand)]
pub(crate) enum AlertCommand {
    /// List the alerts, last fired first
    List(PageArgs),
    /// Acknowledge an alert: no further messages unless it gets worse
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
        #[command(flatten)]
        why: ReasonArgs,
    },
    /// Silence an alert for a while: no messages
    #[command(after_help = "\
Examples:
  simops-cli alert silence 0198c1f2-… --minutes 120
  simops-cli alert silence 0198c1f2-… --until 2026-03-02T08:00:00Z
  simops-cli alert silence 0198c1f2-… --end")]
    Silence(SilenceArgs),
    /// List the messages, newest first, with their deliveries
    Messages(PageArgs),
    /// Show a delivery with its attempts
    Delivery {
        /// The delivery
        #[arg(value_name = "DELIVERY")]
        id: String,
    },
    /// Deliver a message again, under the same id, also one that was delivered
    #[command(after_help = "\
Examples:
  simops-cli alert messages --limit 5    (shows the deliveries)
  simops-cli alert replay 0198c1f2-… --reason 'receiver is back'

The server that delivers messages sends it.")]
    Replay {
        /// The delivery
        #[arg(value_name = "DELIVERY")]
        id: String,
        #[command(flatten)]
        why: ReasonArgs,
    },
}

/// `alert silence`.
#[derive(Args)]
pub(crate) struct SilenceArgs {
    /// The alert
    #[arg(value_name = "ALERT")]
    id: String,
    /// The number of minutes, 1 to 43200
    #[arg(long, value_name = "N", required_unless_present_any = ["until", "end"], conflicts_with_all = ["until", "end"])]
    minutes: Option<i64>,
    /// The time at which the silence ends
    #[arg(long, value_name = "TIME", conflicts_with = "end")]
    until: Option<String>,
    /// End the silence now
    #[arg(long)]
    end: bool,
    #[command(flatten)]
    why: ReasonArgs,
}

/// Runs `alert …`.
pub(crate) async fn run(globals: &Globals, command: AlertCommand) -> Result<(), Failure> {
    let request = match command {
        AlertCommand::List(PageArgs { limit, cursor }) => Request::Alerts { limit, cursor },
        AlertCommand::Ack { id, why: ReasonArgs { reason } } => {
            Request::AcknowledgeAlert { id, reason }
        }
        AlertCommand::Silence(args) => {
            let SilenceArgs { id, minutes, until, end: _, why: ReasonArgs { reason } } = args;
            Request::SilenceAlert { id, silence: SilenceAlert { minutes, until, reason } }
        }
        AlertCommand::Messages(PageArgs { limit, cursor }) => Request::Messages { limit, cursor },
        AlertCommand::Delivery { id } => Request::Delivery { id },
        AlertCommand::Replay { id, why: ReasonArgs { reason } } => {
            Request::ReplayDelivery { id, reason }
        }
    };
    let result = target::ask(globals, &request).await?;
    let output = match request {
        Request::Alerts { .. } => Output::list(result, COLUMNS)?,
        Request::Messages { .. } => Output::list(result, MESSAGE_COLUMNS)?,
        _ => Output::record(result)?,
    };
    print::show(&output, globals.output)
}
