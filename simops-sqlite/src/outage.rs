//! Logs when the calls of a thread begin to fail and when they succeed again, instead of once per
//! call.

use std::error::Error as _;

use simops::Error;
use tracing::{info, warn};

/// Whether the calls of a thread fail.
pub(crate) struct Outage {
    calls: &'static str,
    detail: Option<String>,
}

impl Outage {
    /// No outage of `calls`: `reads` or `writes`.
    pub(crate) fn new(calls: &'static str) -> Self {
        Self { calls, detail: None }
    }

    /// A call failed. Logs the first failure, and each one with another detail.
    pub(crate) fn failed(&mut self, error: &Error) {
        if self.detail.as_deref() != Some(error.detail()) {
            let calls = self.calls;
            warn!(code = "database_failing", calls, %error, cause = ?error.source(), "database calls fail");
            self.detail = Some(error.detail().to_owned());
        }
    }

    /// A call succeeded.
    pub(crate) fn recovered(&mut self) {
        if self.detail.take().is_some() {
            info!(calls = self.calls, "database calls succeed again");
        }
    }
}
