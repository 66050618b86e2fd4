//! What checks found.

use serde::Serialize;

use crate::exit::Failure;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// It is as it must be.
    Pass,
    /// It is not.
    Fail,
    /// It may be meant so.
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
    failed: usize,
    warned: usize,
    checks: Vec<Check>,
}

impl Checked {
    /// Adds what a check found; one that could not be made has failed.
    pub(super) fn add(&mut self, name: &str, found: Result<(Outcome, String), Failure>) {
        let (outcome, detail) =
            found.unwrap_or_else(|failure| (Outcome::Fail, failure.to_string()));
        self.failed += usize::from(outcome == Outcome::Fail);
        self.warned += usize::from(outcome == Outcome::Warn);
        self.ok = self.failed == 0;
        self.checks.push(Check { check: name.to_owned(), outcome, detail });
    }

    /// How many failed.
    pub(super) fn failures(&self) -> usize {
        self.failed
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
            // What a server says must not write to the terminal.
            let detail = check.detail.replace(char::is_control, "\u{fffd}");
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

/// Pass or fail, with what was seen.
pub(super) fn verdict(ok: bool, seen: impl Into<String>) -> (Outcome, String) {
    (if ok { Outcome::Pass } else { Outcome::Fail }, seen.into())
}
