//! Failures of commands: message and exit code.

use std::fmt;
use std::process::ExitCode;

use simops::{ErrorKind, FieldError};

#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    detail: String,
    fields: Vec<FieldError>,
}

impl Failure {
    /// An attempt failed: exit code 1.
    pub(crate) fn new(detail: impl Into<String>) -> Self {
        Self { code: 1, detail: detail.into(), fields: Vec::new() }
    }

    /// Wrong usage: exit code 2.
    pub(crate) fn usage(detail: impl Into<String>) -> Self {
        Self { code: 2, ..Self::new(detail) }
    }

    /// A signal ended it: exit code 130, as a shell reports Ctrl-C.
    pub(crate) fn interrupted() -> Self {
        Self { code: 130, ..Self::new("interrupted; every process that was started has ended") }
    }

    /// The same failure with the fields out of their form.
    pub(crate) fn with_fields(self, fields: Vec<FieldError>) -> Self {
        Self { fields, ..self }
    }

    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }

    /// The lines for stderr: the detail, and the fields that it does not name.
    pub(crate) fn lines(&self) -> Vec<String> {
        let fields = self.fields.iter().map(|f| format!("{}: {}", f.field, f.message));
        let missing = fields.filter(|field| !self.detail.contains(field.as_str()));
        let missing: Vec<_> = missing.map(|field| format!("  {field}")).collect();
        [vec![format!("error: {}", self.detail)], missing].concat()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl From<simops::Error> for Failure {
    fn from(error: simops::Error) -> Self {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        let detail = match cause.filter(|cause| !error.detail().contains(cause.as_str())) {
            Some(cause) => format!("{} ({cause})", error.detail()),
            None => error.detail().to_owned(),
        };
        let failure = match error.kind() {
            // As of a value that the command line itself refuses.
            ErrorKind::Invalid => Self::usage(detail),
            _ => Self::new(detail),
        };
        failure.with_fields(error.fields().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_the_detail_names_are_not_repeated() {
        let failure = Failure::from(simops::Error::invalid("mode", "must be one of test, real"));
        assert_eq!(failure.lines(), ["error: mode: must be one of test, real"]);
    }

    #[test]
    fn other_fields_follow_one_per_line() {
        let field = FieldError { field: "limit".into(), message: "must be at least 1".into() };
        let failure = Failure::new("The request is out of form.").with_fields(vec![field]);
        assert_eq!(
            failure.lines(),
            ["error: The request is out of form.", "  limit: must be at least 1"]
        );
    }
}
