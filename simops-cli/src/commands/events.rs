//! `events`: the event log.

use clap::Subcommand;
use jiff::Timestamp;
use simops::ops::EventsQuery;

use crate::commands::values::{PageArgs, since};
use crate::exit::Failure;
use crate::globals::Globals;
use crate::print::{self, Output};
use crate::target::{get, read};

const COLUMNS: &[&str] = &["id", "created_at", "run_id", "agent", "event_type", "description"];

#[derive(Subcommand)]
pub(crate) enum EventsCommand {
    /// List events, newest first
    #[command(after_help = "\
Examples:
  simops-cli events list --limit 20
  simops-cli events list --run-id test-20260301T120000Z --type proposal_created
  simops-cli events list --cursor 4711    (the next_cursor of the page before)")]
    List {
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
    },
}

pub(crate) async fn run(globals: &Globals, command: EventsCommand) -> Result<(), Failure> {
    let EventsCommand::List { run_id, event_type, after, until, page } = command;
    let route = get("events")
        .with("run_id", run_id.as_ref())
        .with("type", event_type.as_ref())
        .with("after", after)
        .with("until", until)
        .with_all(&page);
    let PageArgs { limit, cursor } = page;
    let query = EventsQuery { run_id, event_type, after, until, cursor, limit };
    let events = read(globals, route, async |ops| ops.events(&query).await).await?;
    print::show(&Output::list(events, COLUMNS), globals.output)
}
