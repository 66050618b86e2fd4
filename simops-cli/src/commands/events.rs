//! `events`: the event log.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use simops::ops::EventsQuery;

use crate::commands::values::{PageArgs, since};
use crate::exit::Failure;
use crate::globals::Globals;
use crate::print::{self, Output};
use crate::request::Request;
use crate::target;

const COLUMNS: &[&str] = &["id", "created_at", "run_id", "agent_id", "event_type", "description"];

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
    #[command(flatten)]
    page: PageArgs,
}

/// Runs `events …`.
pub(crate) async fn run(globals: &Globals, command: EventsCommand) -> Result<(), Failure> {
    let EventsCommand::List(args) = command;
    let ListArgs { run_id, event_type, after, until, page } = args;
    let PageArgs { limit, cursor } = page;
    let query = EventsQuery { run_id, event_type, after, until, cursor, limit };
    let events = target::ask(globals, &Request::Events(query)).await?;
    print::show(&Output::list(events, COLUMNS)?, globals.output)
}
