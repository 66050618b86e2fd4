//! Tells the log once that a thread's calls fail, and once that they no longer do: an outage of an
//! hour is two lines, not one per call.

use std::error::Error as _;

use simops::Error;
use tracing::{info, warn};

/// Whether the calls of a thread fail.
pub(crate) struct Outage {
    of: &'static str,
    detail: Option<String>,
}

impl Outage {
    /// None yet, of what `of` names: `reads`, `writes`.
    pub(crate) fn none(of: &'static str) -> Self {
        Self { of, detail: None }
    }

    /// They fail, again or for the first time.
    pub(crate) fn goes_on(&mut self, error: &Error) {
        if self.detail.as_deref() != Some(error.detail()) {
            warn!(of = self.of, %error, cause = ?error.source(), "the database fails");
            self.detail = Some(error.detail().to_owned());
        }
    }

    /// They do not, or no longer.
    pub(crate) fn is_over(&mut self) {
        if self.detail.take().is_some() {
            info!(of = self.of, "the database works again");
        }
    }
}
