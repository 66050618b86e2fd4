//! `check`: checks of a deployment.

mod production;

use clap::Subcommand;
use serde::Serialize;

use crate::exit::Failure;
use crate::globals::{FormatAlias, Globals};
use crate::print::{self, Output};
use crate::progress::while_at;
use crate::target::{Probe, Seen};

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

pub(crate) async fn run(globals: &Globals, command: CheckCommand) -> Result<(), Failure> {
    let CheckCommand::Production { .. } = command;
    let on = globals.server_only()?;
    let token = on.token()?.ok_or_else(|| {
        Failure::usage("check production needs the admin token: ADMIN_API_TOKEN or --token-file")
    })?;
    let probe = Probe::new(on, token.expose())?;
    let checked = while_at("asking the server", production::check(&probe, &token)).await;
    let output = Output::record(&checked).with_rows_of("checks", &[]);
    print::show(&output.with_text(checked.table()), globals.output)?;
    match checked.failed {
        0 => Ok(()),
        1 => Err(Failure::new("1 check failed")),
        many => Err(Failure::new(format!("{many} checks failed"))),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Pass,
    Fail,
    /// Possibly intended.
    Warn,
}

#[derive(Debug, Serialize)]
struct Check {
    check: String,
    outcome: Outcome,
    detail: String,
}

#[derive(Debug, Default, Serialize)]
struct Checked {
    ok: bool,
    failed: usize,
    warned: usize,
    checks: Vec<Check>,
}

impl Checked {
    /// Adds the result of a check; one that could not run has failed.
    fn add(&mut self, name: &str, found: Result<(Outcome, String), Failure>) {
        let (outcome, detail) =
            found.unwrap_or_else(|failure| (Outcome::Fail, failure.to_string()));
        self.failed += usize::from(outcome == Outcome::Fail);
        self.warned += usize::from(outcome == Outcome::Warn);
        self.ok = self.failed == 0;
        self.checks.push(Check { check: name.to_owned(), outcome, detail });
    }

    /// Adds what `judge` says of a response.
    async fn see(
        &mut self,
        name: &str,
        response: impl Future<Output = Result<Seen, Failure>>,
        judge: impl Fn(&Seen) -> (Outcome, String),
    ) {
        self.add(name, response.await.map(|seen| judge(&seen)));
    }

    fn table(&self) -> String {
        let width = self.checks.iter().map(|check| check.check.chars().count()).max().unwrap_or(0);
        let lines = self.checks.iter().map(|check| {
            let word = match check.outcome {
                Outcome::Pass => "ok",
                Outcome::Fail => "FAIL",
                Outcome::Warn => "warn",
            };
            let detail = &check.detail;
            format!("{word:<5} {:<width$} {detail}\n", check.check)
        });
        let sum = format!(
            "{} checks: {} failed, {} warned\n",
            self.checks.len(),
            self.failed,
            self.warned
        );
        lines.chain([sum]).collect()
    }
}

/// Pass or fail, with the observation.
fn verdict(ok: bool, seen: impl Into<String>) -> (Outcome, String) {
    (if ok { Outcome::Pass } else { Outcome::Fail }, seen.into())
}
