//! `doctor`: looks at everything a deployment depends on, and says what to do about what is wrong.

mod access;
mod database;
mod finding;
mod webhook;

use crate::args::Globals;
use crate::commands::on_database_only;
use crate::exit::Failure;
use crate::print;
use finding::{Report, Status};

/// Runs `doctor`. It changes nothing, except that opening a database brings its schema up to date.
pub(crate) async fn run(globals: &Globals) -> Result<(), Failure> {
    on_database_only(globals, "doctor")?;
    let mut report = Report::default();
    database::examine(&mut report, globals).await?;
    access::examine(&mut report, globals);
    webhook::examine(&mut report, globals.environment);
    report.tell();
    print::json(&report)?;
    match report.count(Status::Failed) {
        0 => Ok(()),
        failed => Err(Failure::new(format!("{failed} of {} checks failed", report.checks.len()))),
    }
}

/// A variable that is set to something.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}
