//! The one place that writes: answers to stdout, all else to stderr. A closed pipe is no failure.

use std::io::{ErrorKind, Write};

use serde::Serialize;

use crate::exit::Failure;

/// An answer, as JSON for people and programs.
pub(crate) fn json(answer: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(answer)
        .map_err(|error| Failure::new(format!("the answer cannot be written: {error}")))?;
    raw(format!("{text}\n").as_bytes())
}

/// Bytes as they are.
pub(crate) fn raw(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("stdout cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

/// A message beside the answer.
pub(crate) fn note(message: &str) {
    lines(&[message.to_owned()]);
}

/// Why a command failed.
pub(crate) fn failure(failure: &Failure) {
    lines(&failure.lines());
}

/// Lines may quote what others wrote, so a terminal gets no control characters of theirs.
fn lines(lines: &[String]) {
    let mut err = std::io::stderr().lock();
    for line in lines {
        let line: String =
            line.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect();
        // There is nowhere left to say that stderr is gone.
        let _ = writeln!(err, "{line}");
    }
}
