//! The report of a drill: what was expected, and what was seen.

use std::time::Instant;

use serde::Serialize;
use serde_json::Value;

use crate::exit::Failure;
use crate::progress::Bar;
use crate::signal;

/// The result of a drill.
#[derive(Serialize)]
pub(super) struct Report {
    drill: &'static str,
    passed: bool,
    seconds: f64,
    pub(super) checks: Vec<Check>,
}

/// One expectation.
#[derive(Serialize)]
pub(super) struct Check {
    /// The failure that was staged.
    when: &'static str,
    must_be_seen: &'static str,
    seen: Value,
    passed: bool,
}

/// The checks of a running drill. Each is printed to stderr when it is made; a terminal shows the wait
/// for the next one.
pub(super) struct Checks {
    when: &'static str,
    bar: Bar,
    made: Vec<Check>,
}

impl Report {
    /// The report of a drill, from its beginning to its end.
    pub(super) async fn of(
        drill: &'static str,
        stage: impl AsyncFnOnce(&mut Checks) -> Result<(), Failure>,
    ) -> Result<Self, Failure> {
        let began = Instant::now();
        let mut checks =
            Checks { when: "", bar: Bar::spinner("setting the stage"), made: Vec::new() };
        let interrupted = signal::interruption()?;
        // Processes that were started end with the stage.
        tokio::select! {
            staged = stage(&mut checks) => staged?,
            () = interrupted => return Err(Failure::interrupted()),
        }
        let checks = checks.made;
        let passed = checks.iter().all(|check| check.passed);
        let seconds = (began.elapsed().as_secs_f64() * 10.0).round() / 10.0;
        Ok(Self { drill, passed, seconds, checks })
    }

    /// The number of failed checks.
    pub(super) fn differing(&self) -> usize {
        self.checks.iter().filter(|check| !check.passed).count()
    }
}

impl Checks {
    /// Announces the next failure.
    pub(super) fn when(&mut self, when: &'static str) {
        self.bar.note(when);
        self.bar.show_message(when);
        self.when = when;
    }

    /// Records what was seen, and whether it was expected.
    pub(super) fn note(
        &mut self,
        must_be_seen: &'static str,
        seen: impl Into<Value>,
        passed: bool,
    ) {
        let seen = seen.into();
        let word = if passed { "seen" } else { "NOT SEEN" };
        self.bar.note(&format!("  {word}: {must_be_seen} ({seen})"));
        self.made.push(Check { when: self.when, must_be_seen, seen, passed });
    }
}
