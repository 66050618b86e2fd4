//! Findings, with their status and advice.

use serde::Serialize;

/// The status of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    /// As required.
    Ok,
    /// It works, with a limitation or a risk.
    Warning,
    /// It does not work, or is unsafe.
    Failed,
}

/// One check.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    check: &'static str,
    status: Status,
    /// What was found; names no secret.
    found: String,
    /// The remedy, where one is needed.
    advice: Option<String>,
}

/// All checks.
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

    /// The number of checks with that status.
    pub(super) fn count(&self, status: Status) -> usize {
        self.checks.iter().filter(|check| check.status == status).count()
    }

    /// A line per check, with the advice below it.
    pub(super) fn text(&self) -> String {
        let lines = self.checks.iter().map(|Check { check, status, found, advice }| {
            let word = match status {
                Status::Ok => "ok     ",
                Status::Warning => "WARNING",
                Status::Failed => "FAILED ",
            };
            let advice = advice.as_ref().map(|advice| format!("        {advice}\n"));
            format!("{word} {check}: {found}\n{}", advice.unwrap_or_default())
        });
        lines.collect()
    }
}
