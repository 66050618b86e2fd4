//! `check`: whether a deployment is as it must be.

mod production;
mod verdict;

use std::io::{IsTerminal, stdout};

use clap::{Args, Subcommand};

use crate::args::Globals;
use crate::commands::baseline::Format;
use crate::exit::Failure;
use crate::print;
use crate::progress::while_at;
use crate::target::Probe;
use verdict::Checked;

/// `check …`.
#[derive(Subcommand)]
pub(crate) enum CheckCommand {
    /// Look at a server in production: nothing can be written, nothing leaks, nothing moves by itself
    #[command(after_help = "\
Examples:
  simops-cli check production --url https://sim.example.org
  simops-cli check production --url http://127.0.0.1:8080 --format json

The token comes from --token or ADMIN_API_TOKEN. Nothing is changed: write routes, all that the server's
own description names, are tried with a body that no route accepts. Exit code 1 when a check fails;
a warning fails nothing.")]
    Production(ProductionArgs),
}

/// `check production`.
#[derive(Args)]
pub(crate) struct ProductionArgs {
    /// How to show it [default: table on a terminal, else json]
    #[arg(long)]
    format: Option<Format>,
}

/// Runs `check …`.
pub(crate) async fn run(globals: &Globals, command: CheckCommand) -> Result<(), Failure> {
    let CheckCommand::Production(args) = command;
    let url = globals.url.as_deref().ok_or_else(|| {
        Failure::usage("check production looks at a server: name it with --url (or SIMOPS_URL)")
    })?;
    let token = globals.token.as_deref().map(str::trim).filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| {
        Failure::usage("check production needs the admin token: --token or ADMIN_API_TOKEN")
    })?;
    let checked =
        while_at("asking the server", production::check(&Probe::new(url, token)?, token)).await;
    let people = stdout().is_terminal();
    match args.format.unwrap_or(if people { Format::Table } else { Format::Json }) {
        Format::Json => print::json(&checked)?,
        Format::Table => print::raw(checked.table().as_bytes())?,
    }
    failed(&checked)
}

fn failed(checked: &Checked) -> Result<(), Failure> {
    match checked.failures() {
        0 => Ok(()),
        1 => Err(Failure::new("1 check failed")),
        many => Err(Failure::new(format!("{many} checks failed"))),
    }
}
