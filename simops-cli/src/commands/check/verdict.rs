//! Results of checks.

use serde::Serialize;

use crate::exit::Failure;
use crate::target::Seen;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// As required.
    Pass,
    /// Not as required.
    Fail,
    /// Possibly intended.
    Warn,
}

/// One check.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    check: String,
    outcome: Outcome,
    detail: String,
}

/// All of them.
#[derive(Debug, Default, Serialize)]
pub(super) struct Checked {
    ok: bool,
    pub(super) failed: usize,
    warned: usize,
    checks: Vec<Check>,
}

impl Checked {
    /// Adds the result of a check; one that could not run has failed.
    pub(super) fn add(&mut self, name: &str, found: Result<(Outcome, String), Failure>) {
        let (outcome, detail) =
            found.unwrap_or_else(|failure| (Outcome::Fail, failure.to_string()));
        self.failed += usize::from(outcome == Outcome::Fail);
        self.warned += usize::from(outcome == Outcome::Warn);
        self.ok = self.failed == 0;
        self.checks.push(Check { check: name.to_owned(), outcome, detail });
    }

    /// Adds what `judge` says of a response.
    pub(super) async fn see(
        &mut self,
        name: &str,
        response: impl Future<Output = Result<Seen, Failure>>,
        judge: impl Fn(&Seen) -> (Outcome, String),
    ) {
        self.add(name, response.await.map(|seen| judge(&seen)));
    }

    /// A line per check.
    pub(super) fn table(&self) -> String {
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
pub(super) fn verdict(ok: bool, seen: impl Into<String>) -> (Outcome, String) {
    (if ok { Outcome::Pass } else { Outcome::Fail }, seen.into())
}
