//! Runs: the registry record (`metadata`) and the validation of start requests (`rules`).

mod metadata;
pub(crate) mod rules;

pub use metadata::{EndedBy, RunClass, RunMode, RunRecord};
pub use rules::{IDENTIFIERS, MAX_REASON_CHARS, MAX_SEASON_NUMBER, StartRun};
