//! `events`: what happened.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use simops::ops::EventsQuery;

use crate::commands::since;
use crate::request::Request;

/// `events …`.
#[derive(Subcommand)]
pub(crate) enum EventsCommand {
    /// List events, newest first
    #[command(after_help = "\
Examples:
  simops-cli events list --limit 20
  simops-cli events list --run-id test-20260301T120000Z --type proposal_created
  simops-cli events list --cursor 4711    (the next_cursor of the page before)")]
    List(ListArgs),
}

/// `events list`.
#[derive(Args)]
pub(crate) struct ListArgs {
    /// Only of this run
    #[arg(long, value_name = "ID")]
    run_id: Option<String>,
    /// Only of this type
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Only those later than a time, a date or a duration ago: 2026-03-01T12:00:00Z, 2026-03-01, 7d
    #[arg(long, value_name = "WHEN", value_parser = since)]
    after: Option<Timestamp>,
    /// Only those up to such a time
    #[arg(long, value_name = "WHEN", value_parser = since)]
    until: Option<Timestamp>,
    /// At most so many, 1 to 500
    #[arg(long, value_name = "N", default_value_t = 50, allow_negative_numbers = true)]
    limit: i64,
    /// Go on where an earlier page ended
    #[arg(long)]
    cursor: Option<String>,
}

impl From<EventsCommand> for Request {
    fn from(command: EventsCommand) -> Self {
        let EventsCommand::List(args) = command;
        let ListArgs { run_id, event_type, after, until, limit, cursor } = args;
        Self::Events(EventsQuery { run_id, event_type, after, until, cursor, limit })
    }
}
