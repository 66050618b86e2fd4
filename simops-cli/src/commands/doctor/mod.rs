//! `doctor`: examines everything that a deployment depends on, with advice.

mod access;
mod args;
mod database;
mod finding;
mod webhook;

use crate::exit::Failure;
use crate::globals::Globals;
use crate::print::{self, Output};
use finding::{Report, Status};

pub(crate) use args::DoctorArgs;

/// Runs `doctor`.
pub(crate) async fn run(globals: &Globals, args: &DoctorArgs) -> Result<(), Failure> {
    let on = globals.database_only("it examines the database and the environment of a server")?;
    let mut report = Report::default();
    let production_mark = database::examine(&mut report, on).await?;
    access::examine(&mut report, globals, production_mark, args)?;
    webhook::examine(&mut report, globals.environment, args)?;
    let output = Output::record(&report).with_rows_of("checks", &[]).with_text(report.text());
    print::show(&output, globals.output)?;
    match report.count(Status::Failed) {
        0 => Ok(()),
        failed => Err(Failure::new(format!("{failed} of {} checks failed", report.checks.len()))),
    }
}
