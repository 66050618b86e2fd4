//! What was found, how bad it is, and what to do about it.

use serde::Serialize;

use crate::print;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    /// As it should be.
    Ok,
    /// It works, but there is something to know or to do.
    Warning,
    /// It does not work, or must not stay so.
    Failed,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    check: &'static str,
    status: Status,
    /// What was found; names no secret.
    found: String,
    /// What to do; none when nothing is to be done.
    advice: Option<String>,
}

/// Everything that was looked at.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) checks: Vec<Check>,
}

impl Report {
    pub(super) fn ok(&mut self, check: &'static str, found: impl Into<String>) {
        self.checks.push(Check { check, status: Status::Ok, found: found.into(), advice: None });
    }

    pub(super) fn warning(
        &mut self,
        check: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) {
        let (found, advice) = (found.into(), Some(advice.into()));
        self.checks.push(Check { check, status: Status::Warning, found, advice });
    }

    pub(super) fn failed(
        &mut self,
        check: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) {
        let (found, advice) = (found.into(), Some(advice.into()));
        self.checks.push(Check { check, status: Status::Failed, found, advice });
    }

    /// How many checks are of that status.
    pub(super) fn count(&self, status: Status) -> usize {
        self.checks.iter().filter(|check| check.status == status).count()
    }

    /// Tells it to a person, beside the answer.
    pub(super) fn tell(&self) {
        for Check { check, status, found, advice } in &self.checks {
            let word = match status {
                Status::Ok => "ok     ",
                Status::Warning => "WARNING",
                Status::Failed => "FAILED ",
            };
            print::note(&format!("{word} {check}: {found}"));
            if let Some(advice) = advice {
                print::note(&format!("        {advice}"));
            }
        }
    }
}
