//! `check`: checks of a deployment.

mod production;
mod verdict;

use clap::Subcommand;

use crate::exit::Failure;
use crate::globals::{FormatAlias, Globals};
use crate::print::{self, Output};
use crate::progress::while_at;
use crate::target::Probe;

/// `check …`.
#[derive(Subcommand)]
pub(crate) enum CheckCommand {
    /// Check a server in production: write gate, access, leaks, idle world
    #[command(after_help = "\
Examples:
  simops-cli check production --url https://sim.example.org
  simops-cli check production --url http://127.0.0.1:8080 -o json

The token comes from ADMIN_API_TOKEN or --token-file. Nothing is changed: all write routes that the
server describes are tried with a body that no route accepts. Exit code 1 when a check fails;
a warning fails nothing.")]
    Production {
        #[command(flatten)]
        _format: FormatAlias,
    },
}

/// Runs `check …`.
pub(crate) async fn run(globals: &Globals, command: CheckCommand) -> Result<(), Failure> {
    let CheckCommand::Production { .. } = command;
    let on = globals.server_only()?;
    let token = globals.token()?.ok_or_else(|| {
        Failure::usage("check production needs the admin token: ADMIN_API_TOKEN or --token-file")
    })?;
    let probe = Probe::new(on, token.expose())?;
    let checked = while_at("asking the server", production::check(&probe, token.expose())).await;
    let output = Output::record(&checked).with_rows_of("checks", &[]);
    print::show(&output.with_text(checked.table()), globals.output)?;
    match checked.failed {
        0 => Ok(()),
        1 => Err(Failure::new("1 check failed")),
        many => Err(Failure::new(format!("{many} checks failed"))),
    }
}
