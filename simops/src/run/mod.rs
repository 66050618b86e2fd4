//! Runs: the registry record (`metadata`), its labels (`labels`), and the validation of start requests
//! (`rules`).

pub(crate) mod labels;
mod metadata;
pub(crate) mod rules;

pub use labels::{Labels, MAX_LABEL_NAME_CHARS, MAX_LABEL_VALUE_CHARS, MAX_LABELS};
pub use metadata::{EndedBy, RunClass, RunMode, RunRecord};
pub use rules::{IDENTIFIERS, MAX_REASON_CHARS, MAX_SEASON_NUMBER, StartRun};
