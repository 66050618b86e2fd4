//! `doctor`: examines everything that a deployment depends on, with advice.

mod access;
mod database;
mod webhook;

use clap::Args;
use serde::Serialize;

use crate::exit::Failure;
use crate::globals::{Globals, flag};
use crate::print::{self, Output};

#[derive(Args)]
#[command(after_help = "\
Examples:
  simops-cli doctor
  simops-cli doctor --database-url postgres://simops@db/simops

Run it where the server runs, with the server's environment. It changes nothing. Exit code 1 when a check
fails; a warning fails nothing.")]
pub(crate) struct DoctorArgs {
    /// The addresses that the server lets use the admin API
    #[arg(long, env = "ADMIN_IP_ALLOWLIST", value_name = "NETWORKS")]
    admin_ip_allowlist: Option<String>,
    /// Whether the server sends critical alerts to the webhook
    #[arg(long, env = "KPI_ALERT_WEBHOOK_ENABLED", value_name = "BOOL", value_parser = flag)]
    kpi_alert_webhook_enabled: Option<bool>,
    /// The URL of the webhook
    #[arg(long, env = "KPI_ALERT_WEBHOOK_URL", value_name = "URL")]
    kpi_alert_webhook_url: Option<String>,
}

pub(crate) async fn run(globals: &Globals, args: &DoctorArgs) -> Result<(), Failure> {
    let on = globals.database_only("it examines the database and the environment of a server")?;
    let mut report = Report::default();
    let production_mark = database::examine(&mut report, on).await?;
    access::examine(&mut report, globals, production_mark, args)?;
    webhook::examine(&mut report, globals.environment, args)?;
    let output = Output::record(&report).with_rows_of("checks", &[]).with_text(report.text());
    print::show(&output, globals.output)?;
    let failed = report.checks.iter().filter(|check| check.status == Status::Failed);
    match failed.count() {
        0 => Ok(()),
        failed => Err(Failure::new(format!("{failed} of {} checks failed", report.checks.len()))),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Ok,
    /// It works, with a limitation or a risk.
    Warning,
    /// It does not work, or is unsafe.
    Failed,
}

#[derive(Debug, Serialize)]
struct Check {
    check: &'static str,
    status: Status,
    /// What was found; names no secret.
    found: String,
    /// The remedy, where one is needed.
    advice: Option<String>,
}

#[derive(Debug, Default, Serialize)]
struct Report {
    checks: Vec<Check>,
}

impl Report {
    fn ok(&mut self, check: &'static str, found: impl Into<String>) {
        self.checks.push(Check { check, status: Status::Ok, found: found.into(), advice: None });
    }

    fn warning(
        &mut self,
        check: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) {
        let (found, advice) = (found.into(), Some(advice.into()));
        self.checks.push(Check { check, status: Status::Warning, found, advice });
    }

    fn failed(&mut self, check: &'static str, found: impl Into<String>, advice: impl Into<String>) {
        let (found, advice) = (found.into(), Some(advice.into()));
        self.checks.push(Check { check, status: Status::Failed, found, advice });
    }

    /// A line per check, with the advice below it.
    fn text(&self) -> String {
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
