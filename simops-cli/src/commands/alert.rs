//! `alert`: alerts, their acknowledgement and silencing, and the delivery of their messages.

use clap::Subcommand;
use simops::ops::{ReasonBody, SilenceAlert};

use crate::commands::values::PageArgs;
use crate::exit::Failure;
use crate::globals::Globals;
use crate::print::{self, Output};
use crate::target::{get, post, read, write};

const COLUMNS: &[&str] =
    &["id", "metric", "state", "severity", "item.message", "fired_at", "silenced_until"];
const MESSAGE_COLUMNS: &[&str] = &["id", "created_at", "kind", "text"];

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
        why: ReasonBody,
    },
    /// Silence an alert for a while: no messages
    #[command(after_help = "\
Examples:
  simops-cli alert silence 0198c1f2-… --minutes 120
  simops-cli alert silence 0198c1f2-… --until 2026-03-02T08:00:00Z
  simops-cli alert silence 0198c1f2-… --end")]
    Silence {
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
        why: ReasonBody,
    },
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
        why: ReasonBody,
    },
}

pub(crate) async fn run(globals: &Globals, command: AlertCommand) -> Result<(), Failure> {
    let output = match command {
        AlertCommand::List(page) => {
            let route = get("kpi/alerts").with_all(&page);
            let cursor = page.cursor.as_deref();
            let alerts = read(globals, route, async |ops| ops.alerts(cursor, page.limit).await);
            Output::list(alerts.await?, COLUMNS)
        }
        AlertCommand::Ack { id, why } => {
            let route = post("kpi/alerts", &why).named("alert", &id).at("acknowledge");
            let reason = why.reason.as_deref();
            let changed = write(globals, route, async |w| w.acknowledge_alert(&id, reason).await);
            Output::record(changed.await?)
        }
        AlertCommand::Silence { id, minutes, until, end: _, why } => {
            let silence = SilenceAlert { minutes, until, reason: why.reason };
            let route = post("kpi/alerts", &silence).named("alert", &id).at("silence");
            let changed = write(globals, route, async |w| w.silence_alert(&id, &silence).await);
            Output::record(changed.await?)
        }
        AlertCommand::Messages(page) => {
            let route = get("kpi/notifications").with_all(&page);
            let cursor = page.cursor.as_deref();
            let messages = read(globals, route, async |ops| ops.messages(cursor, page.limit).await);
            Output::list(messages.await?, MESSAGE_COLUMNS)
        }
        AlertCommand::Delivery { id } => {
            let route = get("kpi/deliveries").named("delivery", &id);
            Output::record(read(globals, route, async |ops| ops.delivery(&id).await).await?)
        }
        AlertCommand::Replay { id, why } => {
            let route = post("kpi/deliveries", &why).named("delivery", &id).at("replay");
            let reason = why.reason.as_deref();
            let replayed = write(globals, route, async |w| w.replay_delivery(&id, reason).await);
            Output::record(replayed.await?)
        }
    };
    print::show(&output, globals.output)
}
