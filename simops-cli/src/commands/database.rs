//! `database`: maintenance of the database itself.

use std::io::{IsTerminal, stdin};

use clap::Subcommand;
use serde_json::json;
use simops::control::Write;
use simops::ops::ReasonBody;

use crate::exit::Failure;
use crate::globals::Globals;
use crate::print::{self, Output};
use crate::target::Direct;

#[derive(Subcommand)]
pub(crate) enum DatabaseCommand {
    /// Remove the production mark: from then on each process follows its own environment
    #[command(after_help = "\
Examples:
  ADMIN_WRITE_ENABLED=true simops-cli database unmark-production
  ADMIN_WRITE_ENABLED=true simops-cli database unmark-production --yes --reason 'copy for tests'

A server or worker with ENVIRONMENT=production marks the database that it opens. On a marked database
the write gate is closed unless ADMIN_WRITE_ENABLED=true, and the world cannot be reset. The next start
of a server or worker in production marks the database again.")]
    UnmarkProduction {
        /// Do not ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        why: ReasonBody,
    },
}

pub(crate) async fn run(globals: &Globals, command: DatabaseCommand) -> Result<(), Failure> {
    let DatabaseCommand::UnmarkProduction { yes, why } = command;
    let on = globals.database_only("the admin API has no endpoint that removes the mark")?;
    let direct = Direct::open(on).await?;
    let writer = direct.writer().await?;
    writer.permit(Write::UnmarkProduction)?;
    let was_marked = direct.ops.store().load().await?.production_mark;
    if was_marked && !yes {
        confirm()?;
    }
    writer.unmark_production(why.reason.as_deref()).await?;
    let unmarked = json!({ "ok": true, "was_marked": was_marked });
    print::show(&Output::record(unmarked), globals.output)
}

/// Asks for the word `unmark` on a terminal.
fn confirm() -> Result<(), Failure> {
    if !stdin().is_terminal() {
        return Err(Failure::usage("there is no terminal to ask on: confirm with --yes"));
    }
    print::note(
        "The world of this database can be reset, and its write gate is open, once the mark is gone.",
    );
    print::note("Type unmark to remove the production mark:");
    let mut line = String::new();
    let read = stdin().read_line(&mut line);
    read.map_err(|error| Failure::new(format!("the terminal cannot be read: {error}")))?;
    match line.trim() {
        "unmark" => Ok(()),
        _ => Err(Failure::new("not confirmed; nothing was changed")),
    }
}
